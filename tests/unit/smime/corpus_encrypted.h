/* Rows of test_corpus.c: encrypted objects, the key that is tried, and the outcome. */
/* RFC 4134: 5.2 is RC2. */
{ "rfc4134/5.1.bin", "rfc4134/BobPrivRSAEncrypt.pri", "rfc4134/BobRSASignByCarl.cer", ERR_OK, "des-ede3-cbc", "rfc4134/ExContent.bin" },
{ "rfc4134/5.2.bin", "rfc4134/BobPrivRSAEncrypt.pri", "rfc4134/BobRSASignByCarl.cer", ERR_PERM, "unsupported-algorithm", NULL },
{ "rfc4134/5.3.eml", "rfc4134/BobPrivRSAEncrypt.pri", "rfc4134/BobRSASignByCarl.cer", ERR_OK, "des-ede3-cbc", "rfc4134/ExContent.bin" },
{ "rfc4134/4.1.bin", "rfc4134/BobPrivRSAEncrypt.pri", "rfc4134/BobRSASignByCarl.cer", ERR_PERM, "malformed-cms", NULL },
{ "rfc4134/7.1.bin", "rfc4134/BobPrivRSAEncrypt.pri", "rfc4134/BobRSASignByCarl.cer", ERR_PERM, "malformed-cms", NULL },
/* examples-cms: OAEP, X25519 with HKDF, ChaCha20-Poly1305 work; a shared key is nobody's certificate. */
{ "examples-cms/binary-files/encryptedForBobRSAOaep.p7m", "examples-cms/certs-and-keys/lamps-bob.decrypt.p8.pem", "examples-cms/certs-and-keys/lamps-bob.encrypt.crt", ERR_OK, "aes128-cbc", NULL },
{ "examples-cms/binary-files/encryptedForBobAndDana.p7m", "examples-cms/certs-and-keys/lamps-bob.decrypt.p8.pem", "examples-cms/certs-and-keys/lamps-bob.encrypt.crt", ERR_OK, "aes128-cbc", NULL },
{ "examples-cms/binary-files/encryptedForBobAndDana.p7m", "examples-cms/certs-and-keys/lamps-dana.decrypt.p8.pem", "examples-cms/certs-and-keys/lamps-dana.encrypt.crt", ERR_OK, "aes128-cbc", NULL },
{ "examples-cms/binary-files/authEnvelopedForDanaX25519HKDF.p7m", "examples-cms/certs-and-keys/lamps-dana.decrypt.p8.pem", "examples-cms/certs-and-keys/lamps-dana.encrypt.crt", ERR_OK, "aes128-gcm", NULL },
{ "examples-cms/binary-files/authEnvelopedForBobChaCha20Poly1305.p7m", "examples-cms/certs-and-keys/lamps-bob.decrypt.p8.pem", "examples-cms/certs-and-keys/lamps-bob.encrypt.crt", ERR_OK, "chacha20-poly1305", NULL },
{ "examples-cms/binary-files/authEnvelopedForDanaX25519HKDF.p7m", "examples-cms/certs-and-keys/lamps-bob.decrypt.p8.pem", "examples-cms/certs-and-keys/lamps-bob.encrypt.crt", ERR_NOTFOUND, "no-key", NULL },
{ "examples-cms/binary-files/encryptedKekri.p7m", "examples-cms/certs-and-keys/lamps-bob.decrypt.p8.pem", "examples-cms/certs-and-keys/lamps-bob.encrypt.crt", ERR_PERM, "unsupported-algorithm", NULL },
/* protected-headers: the exact inner bytes */
{ "protected-headers/smime-enc+legacy-disp.eml", "protected-headers/bob.p12", NULL, ERR_OK, "des-ede3-cbc", "protected-headers/smime-enc+legacy-disp.inner" },
{ "protected-headers/smime-sign+enc.eml", "protected-headers/bob.p12", NULL, ERR_OK, "des-ede3-cbc", "protected-headers/smime-sign+enc.inner" },
{ "protected-headers/smime-sign+enc+legacy-disp.eml", "protected-headers/bob.p12", NULL, ERR_OK, "des-ede3-cbc", "protected-headers/smime-sign+enc+legacy-disp.inner" },
/* bc-mail */
{ "bc-mail/test128.message", "bc-mail/key.pem", "bc-mail/cert.pem", ERR_PERM, "decrypt-failed", NULL },
{ "bc-mail/test192.message", "bc-mail/key.pem", "bc-mail/cert.pem", ERR_OK, "aes192-cbc", NULL },
{ "bc-mail/test256.message", "bc-mail/key.pem", "bc-mail/cert.pem", ERR_PERM, "decrypt-failed", NULL },
/* the key is not in the corpus: one that does not fit fails like everything else */
{ "bc-mail/dotnet_encrypted_mail.eml", "bc-mail/key.pem", "bc-mail/dotnet_enc_cert.pem", ERR_PERM, "decrypt-failed", NULL },
{ "bc-mail/outlook_2010_beta_sime_msg.eml", "bc-mail/key.pem", "bc-mail/cert.pem", ERR_NOTFOUND, "no-key", NULL },
