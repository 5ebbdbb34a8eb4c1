#include "directory/inquiry.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pki/reason.h"

/* The candidates of one source. */
struct offer {
    const char *address; /* the one the certificate must name */
    const char *also;    /* or this one: the address that was asked for; may be NULL */
    const struct pki_certificates *untrusted;
    const char *source;
};

void
directory_inquiry_init(struct directory_inquiry *inquiry,
                       const struct directory_lookup_question *question, enum pki_use use,
                       struct directory_lookup_result *result)
{
    *result = (struct directory_lookup_result){ .list = NULL };
    *inquiry = (struct directory_inquiry){
        .question = question, .use = use, .result = result, .selected = SIZE_MAX
    };
}

static void
inquiry_temp(struct directory_inquiry *inquiry, const struct pki_answer *answer)
{
    if (!inquiry->temp)
        inquiry->temp_answer = *answer;
    inquiry->temp = true;
}

static bool
inquiry_has(const struct directory_inquiry *inquiry, const struct pki_certificate *certificate)
{
    for (size_t i = 0; i < inquiry->result->count; i++) {
        if (pki_certificate_is(inquiry->result->list[i].certificate, certificate))
            return true;
    }
    return false;
}

/* Leaf rules first: they cost nothing. Then path and revocation. */
static enum err_code
inquiry_judge(const struct directory_inquiry *inquiry, const struct offer *offer,
              const struct pki_certificate *certificate, struct pki_answer *out, time_t *until,
              struct err *err)
{
    const struct directory_lookup_question *question = inquiry->question;
    struct pki_path_result path = { .count = 0 };
    const char *address = offer->address;
    enum err_code code;

    if (offer->also && pki_certificate_has_address(certificate, offer->also, question->policy))
        address = offer->also;
    pki_certificate_check(certificate, inquiry->use, address, question->now, question->policy, out);
    *until = pki_certificate_get(certificate)->not_after;
    if (out->status != PKI_STATUS_OK || !question->trust)
        return ERR_OK;
    code = pki_path_check(&(struct pki_path_args){ .trust = question->trust,
                                                   .leaf = certificate,
                                                   .untrusted = offer->untrusted,
                                                   .source = offer->source,
                                                   .at = question->now,
                                                   .revocation = question->revocation,
                                                   .evidence = question->evidence,
                                                   .budget = question->budget },
                          &path, err);
    if (code == ERR_OK) {
        *out = path.answer;
        *until = path.until > 0 ? path.until : *until;
    }
    pki_path_result_free(&path);
    return code;
}

static enum err_code
inquiry_add(struct directory_inquiry *inquiry, const struct offer *offer,
            struct pki_certificate *certificate, const struct pki_key *key, struct err *err)
{
    struct directory_lookup_result *result = inquiry->result;
    struct directory_candidate *candidate, *list;
    enum err_code code;

    if (inquiry_has(inquiry, certificate))
        return ERR_OK;
    if (result->count == DIRECTORY_LIMIT_CANDIDATES)
        return err_set(err, ERR_LIMIT, "more than %d certificates for %.100s",
                       DIRECTORY_LIMIT_CANDIDATES, inquiry->question->address);
    if (result->count == inquiry->cap) {
        size_t cap = inquiry->cap ? 2 * inquiry->cap : 4;

        list = realloc(result->list, cap * sizeof *list);
        if (!list)
            return err_set(err, ERR_NOMEM, "no memory for the certificates of %.100s",
                           inquiry->question->address);
        result->list = list;
        inquiry->cap = cap;
    }
    candidate = &result->list[result->count];
    *candidate = (struct directory_candidate){ .key = key };
    code = inquiry_judge(inquiry, offer, certificate, &candidate->answer, &candidate->until, err);
    if (code != ERR_OK)
        return code;
    snprintf(candidate->source, sizeof candidate->source, "%s", offer->source);
    candidate->certificate = pki_certificate_add1(certificate);
    result->count++;
    if (candidate->answer.status == PKI_STATUS_TEMP)
        inquiry_temp(inquiry, &candidate->answer);
    return ERR_OK;
}

/* The source is through: the newest valid candidate from `first` on is the answer, unless an
 * earlier source had one. */
static void
inquiry_select(struct directory_inquiry *inquiry, size_t first)
{
    const struct directory_candidate *list = inquiry->result->list;

    if (inquiry->selected != SIZE_MAX)
        return;
    for (size_t i = first; i < inquiry->result->count; i++) {
        if (list[i].answer.status != PKI_STATUS_OK)
            continue;
        if (inquiry->selected == SIZE_MAX ||
            pki_certificate_get(list[i].certificate)->not_before >
                pki_certificate_get(list[inquiry->selected].certificate)->not_before)
            inquiry->selected = i;
    }
}

bool
directory_inquiry_is_done(const struct directory_inquiry *inquiry)
{
    return inquiry->selected != SIZE_MAX && !inquiry->question->all;
}

static enum err_code
inquiry_ask_files(struct directory_inquiry *inquiry, const struct directory_store *store,
                  const char *address, unsigned which, struct err *err)
{
    size_t count = 0, first = inquiry->result->count;
    const struct directory_store_item *items = directory_store_find(store, address, &count);
    enum err_code code;

    for (size_t i = 0; i < count; i++) {
        struct offer offer = { .address = address,
                               .untrusted = items[i].key ? &items[i].key->chain : NULL,
                               .source = items[i].source };

        if (inquiry->use == PKI_USE_SIGN && !items[i].key)
            continue;
        if (!(which & (items[i].key ? DIRECTORY_SOURCE_KEYS : DIRECTORY_SOURCE_FILES)))
            continue;
        if (i > 0 && items[i].source != items[i - 1].source) {
            inquiry_select(inquiry, first);
            if (directory_inquiry_is_done(inquiry))
                return ERR_OK;
            first = inquiry->result->count;
        }
        code = inquiry_add(inquiry, &offer, items[i].certificate, items[i].key, err);
        if (code != ERR_OK)
            return code;
    }
    inquiry_select(inquiry, first);
    return ERR_OK;
}

/* An answer of three: not there, and what could not be asked, are part of the inquiry. */
static enum err_code
inquiry_ask_harvest(struct directory_inquiry *inquiry, const char *address, struct err *err)
{
    struct pki_certificates found = { .list = NULL }, chain = { .list = NULL };
    struct offer offer = { .address = address, .untrusted = &chain, .source = "harvested" };
    size_t first = inquiry->result->count;
    struct err mine = ERR_INIT;
    enum err_code code = directory_harvest_find(inquiry->harvest, address, &found, &chain, &mine);

    if (code == ERR_NOMEM || code == ERR_BUG) {
        code = err_set(err, code, "%s", mine.text);
    } else if (code != ERR_OK) {
        if (code != ERR_NOTFOUND)
            directory_inquiry_set_temp(inquiry, mine.text);
        code = ERR_OK;
    }
    for (size_t i = 0; code == ERR_OK && i < found.count; i++)
        code = inquiry_add(inquiry, &offer, found.list[i], NULL, err);
    inquiry_select(inquiry, first);
    pki_certificates_free(&found);
    pki_certificates_free(&chain);
    return code;
}

enum err_code
directory_inquiry_ask_store(struct directory_inquiry *inquiry, const struct directory_store *store,
                            const char *address, unsigned which, struct err *err)
{
    enum err_code code = inquiry_ask_files(inquiry, store, address, which, err);

    if (code != ERR_OK || directory_inquiry_is_done(inquiry) || !inquiry->harvest ||
        inquiry->use != PKI_USE_ENCRYPT || !(which & DIRECTORY_SOURCE_HARVESTED))
        return code;
    return inquiry_ask_harvest(inquiry, address, err);
}

enum err_code
directory_inquiry_load_capabilities(struct directory_inquiry *inquiry, struct err *err)
{
    const char *const addresses[] = { inquiry->question->address, inquiry->primary };
    struct buf *out = &inquiry->result->capabilities;

    *out = (struct buf)BUF_INIT(DIRECTORY_HARVEST_CAPABILITIES);
    for (size_t i = 0; inquiry->harvest && i < 2 && out->n == 0; i++) {
        struct err mine = ERR_INIT;
        time_t signed_at;
        enum err_code code =
            addresses[i][0] ? directory_harvest_get_capabilities(inquiry->harvest, addresses[i],
                                                                 out, &signed_at, &mine)
                            : ERR_NOTFOUND;

        if (code == ERR_NOMEM || code == ERR_BUG)
            return err_set(err, code, "%s", mine.text);
    }
    return ERR_OK;
}

/* The entry was found: its certificates, and what is held here for its primary address. */
static enum err_code
inquiry_add_entry(struct directory_inquiry *inquiry, const struct directory_store *store,
                  const struct directory_entry *entry, const char *source, struct err *err)
{
    const char *address = inquiry->question->address;
    struct offer offer = { .address = address,
                           .untrusted = &entry->certificates,
                           .source = source };
    size_t first;
    enum err_code code = ERR_OK;

    if (entry->primary && strcmp(entry->primary, address) != 0) {
        if (!inquiry->primary[0])
            snprintf(inquiry->primary, sizeof inquiry->primary, "%s", entry->primary);
        code = directory_inquiry_ask_store(inquiry, store, entry->primary, inquiry->passed, err);
        if (code != ERR_OK || directory_inquiry_is_done(inquiry))
            return code;
        offer.address = entry->primary;
        offer.also = address;
    }
    inquiry->unreadable += entry->bad_certificates;
    inquiry->group |= entry->kind == DIRECTORY_GROUP && entry->certificates.count == 0;
    first = inquiry->result->count;
    for (size_t i = 0; code == ERR_OK && i < entry->certificates.count; i++)
        code = inquiry_add(inquiry, &offer, entry->certificates.list[i], NULL, err);
    inquiry_select(inquiry, first);
    return code;
}

enum err_code
directory_inquiry_ask_entry(struct directory_inquiry *inquiry, const struct directory_store *store,
                            const struct directory_entry *entry, const char *directory,
                            struct err *err)
{
    char source[sizeof inquiry->result->list->source];

    snprintf(source, sizeof source, "directory:%s", directory);
    return inquiry_add_entry(inquiry, store, entry, source, err);
}

void
directory_inquiry_set_temp(struct directory_inquiry *inquiry, const char *text)
{
    struct pki_answer answer = { .status = PKI_STATUS_TEMP, .reason = "directory-unreachable" };

    snprintf(answer.text, sizeof answer.text, "%.200s", text);
    inquiry_temp(inquiry, &answer);
}

enum err_code
directory_inquiry_ask_directory(struct directory_inquiry *inquiry,
                                const struct directory_store *store, struct directory *directory,
                                struct err *err)
{
    struct directory_entry *entry = NULL;
    struct err mine = ERR_INIT;
    enum err_code code;

    code = directory_find_address(directory, inquiry->question->address,
                                  inquiry->question->deadline_ms, &entry, &mine);
    switch (code) {
    case ERR_OK:
        code = directory_inquiry_ask_entry(inquiry, store, entry, directory->name, err);
        break;
    case ERR_NOTFOUND:
        code = ERR_OK;
        break;
    case ERR_TEMP:
        directory_inquiry_set_temp(inquiry, mine.text);
        code = ERR_OK;
        break;
    default:
        code = err_set_reason(err, code, mine.reason, "%s", mine.text);
    }
    directory_entry_free(&entry);
    return code;
}

/* How near to being used a refused candidate came: the reason worth telling people. */
static int
candidate_rank(const struct directory_candidate *candidate)
{
    switch (pki_reason_find(candidate->answer.reason)) {
    case PKI_REASON_CERT_IS_CA:
        return 0;
    case PKI_REASON_CERT_WRONG_ADDRESS:
        return 1;
    case PKI_REASON_CERT_WRONG_USAGE:
        return 2;
    case PKI_REASON_CERT_EXPIRED:
    case PKI_REASON_CERT_NOT_YET_VALID:
    case PKI_REASON_CERT_WEAK_KEY:
    case PKI_REASON_UNSUPPORTED_ALGORITHM:
        return 3;
    default:
        return 4; /* the leaf was good; path or revocation were not */
    }
}

static const struct directory_candidate *
inquiry_nearest(const struct directory_inquiry *inquiry)
{
    const struct directory_candidate *best = NULL;

    for (size_t i = 0; i < inquiry->result->count; i++) {
        const struct directory_candidate *one = &inquiry->result->list[i];

        if (!best || candidate_rank(one) > candidate_rank(best) ||
            (candidate_rank(one) == candidate_rank(best) &&
             pki_certificate_get(one->certificate)->not_after >
                 pki_certificate_get(best->certificate)->not_after))
            best = one;
    }
    return best;
}

enum err_code
directory_inquiry_finish(struct directory_inquiry *inquiry, struct err *err)
{
    struct directory_lookup_result *result = inquiry->result;
    const struct directory_candidate *nearest;

    if (inquiry->selected != SIZE_MAX) {
        result->list[inquiry->selected].selected = true;
        result->selected = &result->list[inquiry->selected];
        result->answer = result->selected->answer;
        return ERR_OK;
    }
    if (inquiry->temp) {
        result->answer = inquiry->temp_answer;
        return err_set_reason(err, ERR_TEMP, result->answer.reason, "%s", result->answer.text);
    }
    nearest = inquiry_nearest(inquiry);
    if (nearest)
        result->answer = nearest->answer;
    else if (inquiry->unreadable > 0)
        pki_reason_set(&result->answer, PKI_REASON_CERT_MALFORMED,
                       "the directory holds what cannot be read as a certificate");
    else if (inquiry->group)
        pki_reason_set(&result->answer, PKI_REASON_NO_CERTIFICATE,
                       "the address is a group without a certificate of its own");
    else
        pki_reason_set(&result->answer, PKI_REASON_NO_CERTIFICATE, "%s",
                       inquiry->use == PKI_USE_SIGN ? "there is no key for the address"
                                                    : "there is no certificate for the address");
    return err_set_reason(err, ERR_NOTFOUND, result->answer.reason, "%s", result->answer.text);
}
