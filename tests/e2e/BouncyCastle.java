/*
 * Bouncy Castle as the other side of tests/e2e/test_algorithms.py: one command a line on standard
 * input, words separated by blanks, files as DER; "ok" or "failed: why" for each on standard output.
 *
 *   verify CMS CONTENT|- OUT          every signer by his certificate in the message
 *   decrypt CMS KEY OUT               by the one RecipientInfo that the key opens
 *   sign KEY CERT ALGORITHM detached|opaque CONTENT OUT
 *   encrypt CERT CIPHER pkcs1|oaep CONTENT OUT
 *
 * KEY is PKCS#8, CERT is X.509. ALGORITHM as JCA names it; CIPHER AES128_CBC and the like.
 */
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.security.KeyFactory;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.PrivateKey;
import java.security.Security;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.interfaces.ECPublicKey;
import java.security.spec.MGF1ParameterSpec;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Collection;
import java.util.List;
import javax.crypto.Cipher;
import javax.crypto.CipherInputStream;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.OAEPParameterSpec;
import javax.crypto.spec.PSource;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.cms.GCMParameters;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.asn1.x509.AlgorithmIdentifier;
import org.bouncycastle.asn1.x509.SubjectPublicKeyInfo;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.jcajce.JcaCertStore;
import org.bouncycastle.cms.*;
import org.bouncycastle.cms.jcajce.*;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.operator.InputAEADDecryptor;
import org.bouncycastle.operator.OutputAEADEncryptor;
import org.bouncycastle.operator.OutputEncryptor;
import org.bouncycastle.operator.jcajce.JcaAlgorithmParametersConverter;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.operator.jcajce.JcaDigestCalculatorProviderBuilder;

public class BouncyCastle {
    static byte[] read(String path) throws Exception {
        return Files.readAllBytes(Paths.get(path));
    }

    static void write(String path, byte[] octets) throws Exception {
        Files.write(Paths.get(path), octets);
    }

    static PrivateKey key(String path) throws Exception {
        PKCS8EncodedKeySpec spec = new PKCS8EncodedKeySpec(read(path));
        try {
            return KeyFactory.getInstance("RSA", "BC").generatePrivate(spec);
        } catch (Exception e) {
            return KeyFactory.getInstance("EC", "BC").generatePrivate(spec);
        }
    }

    static X509Certificate certificate(String path) throws Exception {
        return (X509Certificate) CertificateFactory.getInstance("X.509", "BC")
            .generateCertificate(new ByteArrayInputStream(read(path)));
    }

    static void verify(String cms, String content, String out) throws Exception {
        CMSSignedData signed = content.equals("-")
            ? new CMSSignedData(read(cms))
            : new CMSSignedData(new CMSProcessableByteArray(read(content)), read(cms));
        Collection<SignerInformation> signers = signed.getSignerInfos().getSigners();
        if (signers.isEmpty())
            throw new Exception("nobody signed");
        for (SignerInformation signer : signers) {
            @SuppressWarnings("unchecked")
            Collection<X509CertificateHolder> found = signed.getCertificates().getMatches(signer.getSID());
            if (!signer.verify(new JcaSimpleSignerInfoVerifierBuilder().setProvider("BC")
                                   .build(found.iterator().next())))
                throw new Exception("the signature does not hold");
        }
        write(out, content.equals("-") ? (byte[]) signed.getSignedContent().getContent() : read(content));
    }

    /* Bouncy Castle 1.72 has no recipient for key agreement in AuthEnvelopedData: the content is ours to decrypt,
     * the key its own. */
    static class AgreeAuthRecipient extends JceKeyAgreeRecipient {
        AgreeAuthRecipient(PrivateKey key) {
            super(key);
        }

        @Override
        public RecipientOperator getRecipientOperator(AlgorithmIdentifier keyAlgorithm, final AlgorithmIdentifier algorithm,
                                                      SubjectPublicKeyInfo sender,
                                                      org.bouncycastle.asn1.ASN1OctetString material,
                                                      byte[] encrypted) throws CMSException {
            try {
                java.security.Key content =
                    extractSecretKey(keyAlgorithm, algorithm, sender, material, encrypted);
                GCMParameters parameters = GCMParameters.getInstance(algorithm.getParameters());
                final Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding", "BC");

                cipher.init(Cipher.DECRYPT_MODE, new javax.crypto.spec.SecretKeySpec(content.getEncoded(), "AES"),
                            new GCMParameterSpec(parameters.getIcvLen() * 8, parameters.getNonce()));
                return new RecipientOperator(new InputAEADDecryptor() {
                    public AlgorithmIdentifier getAlgorithmIdentifier() {
                        return algorithm;
                    }

                    public InputStream getInputStream(InputStream in) {
                        return new CipherInputStream(in, cipher);
                    }

                    public OutputStream getAADStream() {
                        return new OutputStream() {
                            public void write(int octet) {
                                cipher.updateAAD(new byte[] { (byte) octet });
                            }
                        };
                    }

                    public byte[] getMAC() {
                        return null; /* it comes behind the content, and the cipher has checked it */
                    }
                });
            } catch (CMSException e) {
                throw e;
            } catch (Exception e) {
                throw new CMSException(e.getMessage(), e);
            }
        }
    }

    static void decrypt(String path, String keyPath, String out) throws Exception {
        PrivateKey key = key(keyPath);
        boolean rsa = key.getAlgorithm().equals("RSA");
        byte[] der = read(path);
        ASN1ObjectIdentifier type = org.bouncycastle.asn1.cms.ContentInfo.getInstance(der).getContentType();
        boolean auth = type.equals(PKCSObjectIdentifiers.id_ct_authEnvelopedData);
        RecipientInformationStore recipients = auth ? new CMSAuthEnvelopedData(der).getRecipientInfos()
                                                    : new CMSEnvelopedData(der).getRecipientInfos();
        Exception last = new Exception("no RecipientInfo");

        for (RecipientInformation recipient : recipients.getRecipients()) {
            try {
                Recipient by = auth ? rsa ? new JceKeyTransAuthEnvelopedRecipient(key).setProvider("BC")
                                          : new AgreeAuthRecipient(key).setProvider("BC")
                               : rsa ? new JceKeyTransEnvelopedRecipient(key).setProvider("BC")
                                     : new JceKeyAgreeEnvelopedRecipient(key).setProvider("BC");
                write(out, recipient.getContent(by));
                return;
            } catch (Exception e) {
                last = e;
            }
        }
        throw last;
    }

    static void sign(String key, String cert, String algorithm, String form, String content, String out) throws Exception {
        CMSSignedDataGenerator generator = new CMSSignedDataGenerator();
        X509Certificate certificate = certificate(cert);

        generator.addSignerInfoGenerator(
            new JcaSignerInfoGeneratorBuilder(new JcaDigestCalculatorProviderBuilder().setProvider("BC").build())
                .build(new JcaContentSignerBuilder(algorithm).setProvider("BC").build(key(key)), certificate));
        generator.addCertificates(new JcaCertStore(List.of(certificate)));
        write(out, generator.generate(new CMSProcessableByteArray(read(content)), form.equals("opaque")).getEncoded("DER"));
    }

    static void encrypt(String cert, String cipher, String transport, String content, String out) throws Exception {
        X509Certificate certificate = certificate(cert);
        boolean gcm = cipher.endsWith("_GCM"), large = cipher.startsWith("AES256");
        ASN1ObjectIdentifier algorithm = (ASN1ObjectIdentifier) CMSAlgorithm.class.getField(cipher).get(null);
        RecipientInfoGenerator recipient;

        if (certificate.getPublicKey() instanceof ECPublicKey) {
            KeyPairGenerator pairs = KeyPairGenerator.getInstance("EC", "BC");
            pairs.initialize(((ECPublicKey) certificate.getPublicKey()).getParams());
            KeyPair pair = pairs.generateKeyPair();

            recipient = new JceKeyAgreeRecipientInfoGenerator(CMSAlgorithm.ECDH_SHA256KDF, pair.getPrivate(), pair.getPublic(),
                                                              large ? CMSAlgorithm.AES256_WRAP : CMSAlgorithm.AES128_WRAP)
                            .addRecipient(certificate)
                            .setProvider("BC");
        } else if (transport.equals("oaep")) {
            AlgorithmIdentifier oaep = new JcaAlgorithmParametersConverter().getAlgorithmIdentifier(
                PKCSObjectIdentifiers.id_RSAES_OAEP,
                new OAEPParameterSpec("SHA-256", "MGF1", MGF1ParameterSpec.SHA256, PSource.PSpecified.DEFAULT));

            recipient = new JceKeyTransRecipientInfoGenerator(certificate, oaep).setProvider("BC");
        } else {
            recipient = new JceKeyTransRecipientInfoGenerator(certificate).setProvider("BC");
        }
        OutputEncryptor encryptor = new JceCMSContentEncryptorBuilder(algorithm).setProvider("BC").build();
        CMSTypedData data = new CMSProcessableByteArray(read(content));

        if (gcm) {
            CMSAuthEnvelopedDataGenerator generator = new CMSAuthEnvelopedDataGenerator();
            generator.addRecipientInfoGenerator(recipient);
            write(out, generator.generate(data, (OutputAEADEncryptor) encryptor).getEncoded());
        } else {
            CMSEnvelopedDataGenerator generator = new CMSEnvelopedDataGenerator();
            generator.addRecipientInfoGenerator(recipient);
            write(out, generator.generate(data, encryptor).getEncoded());
        }
    }

    static void run(String[] words) throws Exception {
        switch (words[0]) {
        case "verify":
            verify(words[1], words[2], words[3]);
            break;
        case "decrypt":
            decrypt(words[1], words[2], words[3]);
            break;
        case "sign":
            sign(words[1], words[2], words[3], words[4], words[5], words[6]);
            break;
        case "encrypt":
            encrypt(words[1], words[2], words[3], words[4], words[5]);
            break;
        default:
            throw new Exception("unknown command");
        }
    }

    public static void main(String[] arguments) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));

        Security.addProvider(new BouncyCastleProvider());
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            try {
                run(line.trim().split(" +"));
                System.out.println("ok");
            } catch (Throwable e) {
                System.out.println("failed: " + e.toString().replace('\n', ' '));
            }
            System.out.flush();
        }
    }
}
