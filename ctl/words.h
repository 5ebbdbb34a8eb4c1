/*
 * The names of algorithms on the command line: the words of the configuration.
 *
 * Threads: any; constant data.
 */
#ifndef CTL_WORDS_H
#define CTL_WORDS_H

#include <stdbool.h>

#include "conf/conf.h"

/* Sets the field of `rule` to the word; NULL leaves it alone. False: there is no such word, which
 * was said. */
bool ctl_words_set_digest(struct conf_rule *rule, const char *word);
bool ctl_words_set_cipher(struct conf_rule *rule, const char *word);

#endif
