#include <string.h>

#include "pki/crl.h"
#include "pki/evidence_ask.h"
#include "pki/evidence_parse.h"
#include "pki/ocsp_request.h"
#include "pki/pointer.h"
#include "util/clock.h"

enum { ISSUERS_BYTES = 64 << 20, LDAP_ISSUERS_BYTES = 1 << 20, LDAP_SHORT_MS = 3000 };

static enum err_code
parse(struct pki_evidence *evidence, struct pki_evidence_network *network, struct buf *bytes,
      struct err *err)
{
    struct pki_evidence_input input = {
        .item = network->ask->item,
        .held = network->held,
        .untrusted = network->ask->untrusted,
        .max_age_s = network->ask->max_age_s,
        .bytes = bytes,
        .source = "network",
        .fetched_at = clock_now_s(),
    };

    return pki_evidence_parse(evidence, &input, &network->object, err);
}

/* Did it fail by our own bounds? Then nothing was learned about the source. What pki/fetch learned
 * it remembers. */
static bool
failed_by_itself(struct pki_evidence *evidence, struct span url, enum pki_fetch_kind kind,
                 const struct err *why)
{
    if (why->code == ERR_NOMEM || why->code == ERR_BUG || !why->reason)
        return false;
    if (strcmp(why->reason, "fetch-budget") == 0 || strcmp(why->reason, "fetch-busy") == 0)
        return false;
    return strcmp(why->reason, "fetch-timeout") != 0 ||
           pki_fetch_get_failing_since(evidence->args.fetch, url, kind) != 0;
}

/* ---- one URL -----------------------------------------------------------------------------------
 */

static enum err_code
ask_directory(struct pki_evidence *evidence, struct pki_evidence_network *network,
              struct buf *bytes, struct err *err)
{
    int64_t deadline_ms = network->ask->budget->deadline_ms;
    bool is_short = deadline_ms - clock_monotonic_ms() < LDAP_SHORT_MS;
    struct err why = ERR_INIT;
    enum err_code code;

    if (!evidence->args.ldap) {
        network->is_own = true;
        return err_set_reason(err, ERR_NOTFOUND, "fetch-off",
                              "no directory server is configured that could be asked");
    }
    code = evidence->args.ldap(evidence->args.ldap_context, network->ask->item->url, deadline_ms,
                               bytes, &why);
    if (code == ERR_OK)
        return ERR_OK;
    network->is_own = code != ERR_NOTFOUND && (is_short || code == ERR_NOMEM || code == ERR_BUG);
    if (code == ERR_PERM)
        return err_set_reason(err, ERR_TEMP, "fetch-refused-url", "%.400s", why.text);
    if (code != ERR_NOTFOUND && code != ERR_NOMEM && code != ERR_BUG)
        code = ERR_TEMP;
    return err_set_reason(err, code, code == ERR_NOTFOUND ? "fetch-not-there" : "fetch-directory",
                          "%.400s", why.text);
}

static enum err_code
ask_url(struct pki_evidence *evidence, struct pki_evidence_network *network, struct err *err)
{
    const struct pki_evidence_item *item = network->ask->item;
    bool is_crl = item->kind == PKI_EVIDENCE_CRL, is_ldap;
    enum pki_fetch_kind kind = is_crl ? PKI_FETCH_CRL : PKI_FETCH_AIA;
    struct buf bytes = BUF_INIT(is_crl ? (size_t)PKI_CRL_BYTES : (size_t)ISSUERS_BYTES);
    enum err_code code;

    is_ldap = span_starts_nocase(item->url, "ldap:") || span_starts_nocase(item->url, "ldaps:");
    if (is_ldap) {
        if (!is_crl)
            bytes.limit_bytes = LDAP_ISSUERS_BYTES;
        code = ask_directory(evidence, network, &bytes, err);
    } else {
        code =
            pki_fetch_get(evidence->args.fetch, item->url, kind, network->ask->budget, &bytes, err);
        network->is_own = code != ERR_OK && !failed_by_itself(evidence, item->url, kind, err);
    }
    if (code == ERR_OK && (code = parse(evidence, network, &bytes, err)) != ERR_OK) {
        network->is_own = code != ERR_TEMP;
        (void)err_prefix(err, "%.200s", item->name);
    }
    buf_free(&bytes);
    return code;
}

/* ---- OCSP --------------------------------------------------------------------------------------
 */

/* The failure of a responder is remembered apart from that of its answers: a dead one must not be
 * waited for with each new certificate. */
struct responder {
    struct pki_evidence_name name;
    struct err err;
    bool may_ask, is_failing;
    time_t since;
};

static enum err_code
responder_find(struct pki_evidence *evidence, const struct pki_evidence_ask *ask, struct span url,
               struct responder *out, struct err *err)
{
    struct pki_evidence_item *item;
    enum err_code code;
    time_t now = clock_now_s();

    *out = (struct responder){ .name = { .kind = PKI_EVIDENCE_RESPONDER, .url = url },
                               .may_ask = true };
    if ((code = pki_evidence_name_set(evidence, &out->name, err)) != ERR_OK)
        return code;
    pki_evidence_lock(evidence);
    if ((item = pki_evidence_held_find(evidence, out->name.key))) {
        out->may_ask = pki_evidence_may_ask(evidence, item, ask->is_refresh, now);
        out->is_failing = item->failure.since != 0;
        out->since = item->failure.since;
        (void)err_set_reason(&out->err, item->failure.code, item->failure.reason, "%s",
                             item->failure.text);
        item->used_at = now;
        pki_evidence_held_reset(evidence, &item);
    }
    pki_evidence_unlock(evidence);
    return ERR_OK;
}

/* `why` NULL: it answers. */
static void
responder_set(struct pki_evidence *evidence, const struct responder *responder,
              const struct err *why)
{
    struct pki_evidence_item *item;

    pki_evidence_lock(evidence);
    if (why && (item = pki_evidence_held_new(evidence, &responder->name))) {
        pki_evidence_fail(evidence, item, why);
        pki_evidence_held_reset(evidence, &item);
    } else if (!why && responder->is_failing &&
               (item = pki_evidence_held_find(evidence, responder->name.key))) {
        pki_evidence_held_remove(evidence, item);
        pki_evidence_held_reset(evidence, &item);
    }
    pki_evidence_unlock(evidence);
}

/* GET where it fits, so that caches on the way can answer; POST else, and where a server answers a
 * GET with an error: RFC 6960 demands neither of the two. */
static enum err_code
exchange(struct pki_evidence *evidence, struct pki_evidence_network *network, struct span url,
         struct span request, struct buf *bytes, struct err *err)
{
    struct pki_fetch_post_args post = { .url = url,
                                        .request = request,
                                        .budget = network->ask->budget };
    struct buf get = BUF_INIT(PKI_OCSP_GET_MAX + 1);
    struct err why = ERR_INIT;
    char *text = span_dup(url);
    enum err_code code = ERR_LIMIT;

    if (text && pki_ocsp_request_url(request, text, &get, &why) == ERR_OK) {
        err_reset(&why);
        code = pki_fetch_get(evidence->args.fetch, buf_span(&get), PKI_FETCH_OCSP,
                             network->ask->budget, bytes, &why);
        if (code != ERR_OK)
            network->is_own = !failed_by_itself(evidence, buf_span(&get), PKI_FETCH_OCSP, &why);
    }
    if (code == ERR_LIMIT || code == ERR_NOTFOUND ||
        (code == ERR_TEMP && why.reason && strcmp(why.reason, "fetch-status") == 0)) {
        err_reset(&why);
        code = pki_fetch_post(evidence->args.fetch, &post, bytes, &why);
        if (code != ERR_OK)
            network->is_own = !failed_by_itself(evidence, url, PKI_FETCH_OCSP, &why);
    }
    if (code != ERR_OK)
        /* Not there is no answer of a responder. */
        (void)err_set_reason(err, code == ERR_NOTFOUND ? ERR_TEMP : code, why.reason, "%s",
                             why.text);
    buf_free(&get);
    free(text);
    return code == ERR_NOTFOUND ? ERR_TEMP : code;
}

static enum err_code
ask_responder(struct pki_evidence *evidence, struct pki_evidence_network *network, struct span url,
              struct span request, struct err *err)
{
    struct buf bytes = BUF_INIT(PKI_EVIDENCE_OCSP_BYTES);
    struct responder responder;
    enum err_code code = responder_find(evidence, network->ask, url, &responder, err);

    if (code != ERR_OK)
        return code;
    if (!responder.may_ask) {
        if (network->failing_since == 0 || responder.since < network->failing_since)
            network->failing_since = responder.since;
        return err_set_reason(err, responder.err.code, responder.err.reason, "%s",
                              responder.err.text);
    }
    network->is_own = false;
    code = exchange(evidence, network, url, request, &bytes, err);
    if (code == ERR_OK || !network->is_own)
        responder_set(evidence, &responder, code == ERR_OK ? NULL : err);
    if (code == ERR_OK && (code = parse(evidence, network, &bytes, err)) != ERR_OK) {
        network->is_own = code != ERR_TEMP;
        (void)err_prefix(err, "%.*s", (int)(url.n < 200 ? url.n : 200), (const char *)url.p);
    }
    buf_free(&bytes);
    return code;
}

static enum err_code
ask_responders(struct pki_evidence *evidence, struct pki_evidence_network *network, struct err *err)
{
    const struct pki_evidence_item *item = network->ask->item;
    const struct pki_pointers *pointers = pki_certificate_get0_pointers(item->certificate);
    struct buf request = BUF_INIT(PKI_FETCH_REQUEST_BYTES);
    enum err_code code = ERR_NOTFOUND;
    bool own = false;

    if (!pointers || pointers->ocsp.count == 0) {
        network->is_own = true;
        return err_set_reason(err, ERR_NOTFOUND, "ocsp-unavailable",
                              "the certificate names no OCSP responder");
    }
    if ((code = pki_ocsp_request_format(item->certificate, item->issuer, span_of(NULL, 0), &request,
                                        err)) != ERR_OK) {
        network->is_own = true;
        buf_free(&request);
        return code;
    }
    code = ERR_TEMP;
    for (size_t i = 0; code == ERR_TEMP && i < pointers->ocsp.count; i++) {
        err_reset(err); /* the last one that was asked is told */
        code = ask_responder(evidence, network, pointers->ocsp.list[i], buf_span(&request), err);
        own |= code != ERR_OK && network->is_own;
    }
    network->is_own = own;
    buf_free(&request);
    return code;
}

/* ---- both --------------------------------------------------------------------------------------
 */

enum err_code
pki_evidence_network_get(struct pki_evidence *evidence, struct pki_evidence_network *network,
                         struct err *err)
{
    bool is_ldap =
        network->ask->item->url.n > 0 && span_starts_nocase(network->ask->item->url, "ldap");

    if (!evidence->args.fetch && !is_ldap) {
        network->is_own = true;
        return err_set_reason(err, ERR_NOTFOUND, "fetch-off", "nothing is fetched (fetch = no)");
    }
    return network->ask->item->kind == PKI_EVIDENCE_OCSP ? ask_responders(evidence, network, err)
                                                         : ask_url(evidence, network, err);
}
