#include "pki/context.h"

#include <stdbool.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/rsa.h>

struct pki_context_entry {
    struct pki_context_entry *next;
    size_t count; /* of this one and those behind it */
    struct pki_context_args args;
    EVP_PKEY_CTX *context; /* only ever duplicated */
};

static int
type_of(const EVP_MD *md)
{
    return md ? EVP_MD_get_type(md) : NID_undef;
}

static bool
is_same(const struct pki_context_args *a, const struct pki_context_args *b)
{
    return a->use == b->use && a->padding == b->padding && a->salt_bytes == b->salt_bytes &&
           type_of(a->md) == type_of(b->md) && type_of(a->mgf_md) == type_of(b->mgf_md);
}

static bool
begin(EVP_PKEY_CTX *context, const struct pki_context_args *args)
{
    switch (args->use) {
    case PKI_CONTEXT_SIGN:
        return EVP_PKEY_sign_init(context) > 0;
    case PKI_CONTEXT_VERIFY:
        return EVP_PKEY_verify_init(context) > 0;
    case PKI_CONTEXT_ENCRYPT:
        return EVP_PKEY_encrypt_init(context) > 0;
    }
    return false;
}

static bool
set_padding(EVP_PKEY_CTX *context, const struct pki_context_args *args)
{
    if (args->padding == 0)
        return true;
    if (EVP_PKEY_CTX_set_rsa_padding(context, args->padding) <= 0)
        return false;
    if (args->padding == RSA_PKCS1_OAEP_PADDING)
        return EVP_PKEY_CTX_set_rsa_oaep_md(context, args->md) > 0 &&
               EVP_PKEY_CTX_set_rsa_mgf1_md(context, args->mgf_md) > 0;
    return args->padding != RSA_PKCS1_PSS_PADDING ||
           (EVP_PKEY_CTX_set_rsa_mgf1_md(context, args->mgf_md) > 0 &&
            EVP_PKEY_CTX_set_rsa_pss_saltlen(context, args->salt_bytes) > 0);
}

static EVP_PKEY_CTX *
prepare(EVP_PKEY *key, const struct pki_context_args *args)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);

    if (context && begin(context, args) &&
        (args->use == PKI_CONTEXT_ENCRYPT ||
         EVP_PKEY_CTX_set_signature_md(context, args->md) > 0) &&
        set_padding(context, args))
        return context;
    EVP_PKEY_CTX_free(context);
    return NULL;
}

/* `context` is taken where there is room for it and memory. */
static bool
keep(struct pki_contexts *contexts, const struct pki_context_args *args, EVP_PKEY_CTX *context)
{
    struct pki_context_entry *entry = malloc(sizeof *entry);

    if (!entry)
        return false;
    *entry = (struct pki_context_entry){ .args = *args, .context = context };
    entry->next = atomic_load_explicit(&contexts->first, memory_order_acquire);
    do {
        entry->count = entry->next ? entry->next->count + 1 : 1;
        if (entry->count > PKI_CONTEXT_LIMIT) {
            free(entry);
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&contexts->first, &entry->next, entry,
                                                    memory_order_acq_rel, memory_order_acquire));
    return true;
}

/* Duplicating fails for memory alone, and not every provider says so. */
static EVP_PKEY_CTX *
duplicate(const EVP_PKEY_CTX *context)
{
    EVP_PKEY_CTX *copy = EVP_PKEY_CTX_dup(context);

    if (!copy)
        ERR_raise(ERR_LIB_USER, ERR_R_MALLOC_FAILURE);
    return copy;
}

EVP_PKEY_CTX *
pki_context_new(struct pki_contexts *contexts, EVP_PKEY *key, const struct pki_context_args *args)
{
    EVP_PKEY_CTX *context, *copy;

    if (contexts) {
        const struct pki_context_entry *entry =
            atomic_load_explicit(&contexts->first, memory_order_acquire);

        for (; entry; entry = entry->next) {
            if (is_same(&entry->args, args))
                return duplicate(entry->context);
        }
    }
    context = prepare(key, args);
    if (!context || !contexts)
        return context;
    /* Two threads may both keep theirs: nothing but a place is lost. */
    copy = duplicate(context);
    if (copy && keep(contexts, args, context))
        return copy;
    EVP_PKEY_CTX_free(copy);
    return context;
}

void
pki_context_free(struct pki_contexts *contexts)
{
    struct pki_context_entry *entry = atomic_exchange(&contexts->first, NULL);

    while (entry) {
        struct pki_context_entry *next = entry->next;

        EVP_PKEY_CTX_free(entry->context);
        free(entry);
        entry = next;
    }
}
