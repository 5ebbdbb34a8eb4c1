/*
 * Keys, anchors and CRLs as the daemon would load them, and how long they will do.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ctl/doctor_report.h"
#include "flow/services.h"
#include "mime/base64.h"
#include "pki/der.h"
#include "pki/file.h"
#include "pki/reason.h"
#include "util/clock.h"

enum { CRL_BYTES = 64 << 20, CRL_SOON_S = 2 * 86400, TAG_UTC_TIME = 0x17, TAG_TIME = 0x18 };

/* ---- CRLs
 * -------------------------------------------------------------------------------------------- */

static int
digits(const unsigned char *p, size_t n)
{
    int value = 0;

    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9')
            return -1;
        value = value * 10 + p[i] - '0';
    }
    return value;
}

/* UTCTime or GeneralizedTime as DER writes them; 0: neither. RFC 5280 5.1.2.4 */
static time_t
parse_time(const struct pki_der *element)
{
    size_t year_digits = element->tag == TAG_TIME ? 4 : 2;
    const unsigned char *p = element->content.p;

    if ((element->tag != TAG_TIME && element->tag != TAG_UTC_TIME) ||
        element->content.n != year_digits + 11 || p[element->content.n - 1] != 'Z')
        return 0;
    int year = digits(p, year_digits);
    p += year_digits;
    if (year_digits == 2)
        year += year < 50 ? 2000 : 1900;
    struct tm parts = { .tm_year = year - 1900,
                        .tm_mon = digits(p, 2) - 1,
                        .tm_mday = digits(p + 2, 2),
                        .tm_hour = digits(p + 4, 2),
                        .tm_min = digits(p + 6, 2),
                        .tm_sec = digits(p + 8, 2) };
    return timegm(&parts);
}

/* thisUpdate and nextUpdate (0: none) of a CRL in DER. RFC 5280 5.1 */
static enum err_code
crl_get_times(struct span der, time_t *this_update, time_t *next_update, struct err *err)
{
    struct pki_der outer, list, element;
    struct span rest = der, fields;

    *this_update = *next_update = 0;
    if (pki_der_find(&rest, PKI_DER_SEQUENCE, &outer, err))
        return err->code;
    rest = outer.content;
    if (pki_der_find(&rest, PKI_DER_SEQUENCE, &list, err))
        return err->code;
    fields = list.content;
    /* version (optional), signature, issuer, thisUpdate, nextUpdate (optional) */
    for (int i = 0; i < 5 && fields.n > 0; i++) {
        if (pki_der_get(&fields, &element, err))
            return err->code;
        time_t when = parse_time(&element);
        if (when && !*this_update)
            *this_update = when;
        else if (when)
            *next_update = when;
    }
    return *this_update ? ERR_OK : err_set(err, ERR_PERM, "not a CRL");
}

/* The octets of the first CRL of a PEM file, or the file itself. */
static enum err_code
crl_get_der(const struct buf *file, struct buf *der, struct err *err)
{
    static const char begin[] = "-----BEGIN X509 CRL-----", end[] = "-----END X509 CRL-----";
    const char *from = strstr(buf_str(file), begin);
    const char *to = from ? strstr(from, end) : NULL;

    if (!from || !to)
        return buf_append(der, buf_span(file), err);
    from += sizeof begin - 1;
    return mime_base64_parse(span_of(from, (size_t)(to - from)), der, err);
}

static void
check_crl(struct ctl_doctor_report *report, const char *path)
{
    struct buf file = BUF_INIT(CRL_BYTES * 2), der = BUF_INIT(CRL_BYTES);
    struct err err = ERR_INIT;
    char when[PKI_TIME_SIZE];
    time_t from, until, now = clock_now_s();

    if (pki_file_load(path, &file, &err) || crl_get_der(&file, &der, &err) ||
        crl_get_times(buf_span(&der), &from, &until, &err))
        ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_WARN, "crl", "remove or replace the file",
                                "%s: %s", path, err.text);
    else if (until && until < now)
        ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_FAIL, "crl",
                                "fetch a new one: what it speaks about counts as unknown now",
                                "%s is out of date since %s", path, pki_time_format(until, when));
    else if (from > now + 300)
        ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_FAIL, "crl", "look at the clock",
                                "%s begins in the future, at %s", path,
                                pki_time_format(from, when));
    else if (until && until < now + CRL_SOON_S)
        ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_WARN, "crl",
                                "see that the job that fetches CRLs runs",
                                "%s will be out of date at %s", path, pki_time_format(until, when));
    else
        ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_OK, "crl", NULL, "%s is good until %s",
                                path, until ? pki_time_format(until, when) : "its successor");
    buf_free(&file);
    buf_free(&der);
}

static void
check_crls(struct ctl_doctor_report *report, const struct conf_trust *trust)
{
    for (size_t i = 0; trust->crls[i]; i++) {
        struct pki_file_names names = { .list = NULL };
        struct err err = ERR_INIT;

        if (pki_file_names_load(trust->crls[i], 0, &names, &err))
            check_crl(report, trust->crls[i]); /* a file, or an error that it will name */
        for (size_t k = 0; k < names.count; k++)
            check_crl(report, names.list[k]);
        pki_file_names_free(&names);
    }
}

/* ---- keys and anchors
 * ---------------------------------------------------------------------------------- */

static void
check_keys(struct ctl_doctor_report *report, const struct flow_services *services)
{
    time_t now = clock_now_s(), soon = now + services->conf->global.expiry_warning / 1000;
    size_t count = pki_keyring_count(services->keyring), good = 0;

    for (size_t i = 0; i < count; i++) {
        const struct pki_key *key = pki_keyring_get(services->keyring, i);
        const struct pki_certificate_facts *facts = pki_certificate_get(key->certificate);
        char when[PKI_TIME_SIZE];

        if (facts->not_after >= now && facts->not_after <= soon)
            ctl_doctor_report_write(
                report, CTL_DOCTOR_LEVEL_WARN, "expiry", "enrol its successor (smimectl import)",
                "the certificate of %s expires on %s: %s",
                facts->addresses && facts->addresses[0] ? facts->addresses[0] : facts->subject,
                pki_time_format(facts->not_after, when), key->file);
        else if (facts->not_after > soon)
            good++;
    }
    ctl_doctor_report_write(report, count ? CTL_DOCTOR_LEVEL_OK : CTL_DOCTOR_LEVEL_WARN, "keys",
                            "import keys (smimectl import); without any, nothing can be signed",
                            "%zu pairs in %s, %zu of them good beyond expiry_warning", count,
                            services->conf->global.keys_folder, good);
}

static void
complain(void *context, const char *text)
{
    ctl_doctor_report_write(context, CTL_DOCTOR_LEVEL_FAIL, "left-out",
                            "smimed does not use this file; mend or remove it", "%s", text);
}

void
ctl_doctor_check_trust(struct ctl_doctor_report *report, struct conf *conf)
{
    struct flow_services *services = NULL;
    struct err err = ERR_INIT;

    if (conf->trust_count == 0)
        ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_WARN, "trust",
                                "add a section trust \"default\" with anchors",
                                "there is no trust set: no certificate is trusted");
    if (flow_services_new(conf, complain, report, &services, &err)) {
        ctl_doctor_report_write(
            report, err.code == ERR_TEMP ? CTL_DOCTOR_LEVEL_UNKNOWN : CTL_DOCTOR_LEVEL_FAIL,
            "snapshot", "smimed would not start, or keep its old configuration", "%s", err.text);
        return;
    }
    check_keys(report, services);
    for (size_t i = 0; i < services->trust_count; i++) {
        const struct flow_trust *trust = &services->trusts[i];
        size_t anchors = pki_trust_anchor_count(trust->trust);
        ctl_doctor_report_write(report, anchors ? CTL_DOCTOR_LEVEL_OK : CTL_DOCTOR_LEVEL_FAIL,
                                "trust", "anchors name files or folders with CA certificates",
                                "trust \"%s\": %zu anchors, %zu CRLs", trust->name, anchors,
                                pki_trust_crl_count(trust->trust));
        if (pki_trust_crl_count(trust->trust) == 0 && !conf->global.fetch &&
            conf->global.revocation_outbound == CONF_REVOCATION_REQUIRE)
            ctl_doctor_report_write(report, CTL_DOCTOR_LEVEL_WARN, "trust",
                                    "give CRLs, set fetch = yes, or change revocation_outbound and "
                                    "revocation_inbound",
                                    "trust \"%s\" has no CRL, nothing is fetched, and revocation "
                                    "is required",
                                    trust->name);
        check_crls(report, &conf->trusts[i]);
    }
    flow_services_free(&services);
}
