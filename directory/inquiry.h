/*
 * One question about one address: candidates are gathered source by source, each is judged, one is
 * selected, and the reasons of the others stay in the result.
 *
 * Signing asks for pairs of our own only. Encryption stops behind the first source that has a valid
 * certificate, unless the question wants all. What could not be asked is remembered and outweighs
 * every "no".
 *
 * Lives on the stack of directory/lookup for one call; one thread.
 */
#ifndef DIRECTORY_INQUIRY_H
#define DIRECTORY_INQUIRY_H

#include "directory/lookup.h"
#include "directory/store.h"
#include "mime/address.h"

/* Where certificates come from: bits, for "which of them". */
enum directory_source {
    DIRECTORY_SOURCE_KEYS = 1,
    DIRECTORY_SOURCE_FILES = 2,
    DIRECTORY_SOURCE_DIRECTORIES = 4,
    DIRECTORY_SOURCE_HARVESTED = 8,
};

struct directory_inquiry {
    const struct directory_lookup_question *question;
    enum pki_use use;
    struct directory_lookup_result *result;
    struct directory_harvest *harvest; /* set by the caller after init; NULL: none; borrowed */
    size_t cap;
    size_t selected; /* index, or SIZE_MAX */
    bool temp;       /* something could not be asked: temp_answer says what */
    struct pki_answer temp_answer;
    size_t unreadable;               /* values of a directory that are no certificates */
    bool group;                      /* the address is a group without a certificate of its own */
    unsigned passed;                 /* sources that were asked, by the caller */
    char primary[MIME_ADDRESS_SIZE]; /* of the person, as the first directory has it that knows
                                        another name than the one asked for; "" none */
};

/* Empties `result`; it and `question` are borrowed until finish. */
void directory_inquiry_init(struct directory_inquiry *inquiry,
                            const struct directory_lookup_question *question, enum pki_use use,
                            struct directory_lookup_result *result);

/* What is held here for `address` in the sources `which`: the keys, then each folder, each a source
 * of its own, then what was harvested. Errors are about our own ability. */
ERR_CHECKED enum err_code directory_inquiry_ask_store(struct directory_inquiry *inquiry,
                                                      const struct directory_store *store,
                                                      const char *address, unsigned which,
                                                      struct err *err);

/* A directory, and what is held in the sources that were passed for the primary address that it
 * names. "Not there" and "could not ask" are ERR_OK and part of the inquiry. */
ERR_CHECKED enum err_code directory_inquiry_ask_directory(struct directory_inquiry *inquiry,
                                                          const struct directory_store *store,
                                                          struct directory *directory,
                                                          struct err *err);

/* The same with what the directory said before: an entry, or (for one of them) that it could not be
 * asked. */
ERR_CHECKED enum err_code directory_inquiry_ask_entry(struct directory_inquiry *inquiry,
                                                      const struct directory_store *store,
                                                      const struct directory_entry *entry,
                                                      const char *directory, struct err *err);
void directory_inquiry_set_temp(struct directory_inquiry *inquiry, const char *text);

/* What the person's own mail said he can decrypt, into the result. Not to know is an answer, and so
 * is that it could not be asked: it is about strength, never about whether. */
ERR_CHECKED enum err_code directory_inquiry_load_capabilities(struct directory_inquiry *inquiry,
                                                              struct err *err);

/* Is there an answer that needs no further source? */
bool directory_inquiry_is_done(const struct directory_inquiry *inquiry);

/* ERR_OK, ERR_NOTFOUND or ERR_TEMP; fills the rest of the result. */
ERR_CHECKED enum err_code directory_inquiry_finish(struct directory_inquiry *inquiry,
                                                   struct err *err);

#endif
