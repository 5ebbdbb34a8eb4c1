#include "ctl/words.h"

#include <string.h>

#include "ctl/command.h"
#include "flow/names.h"

bool
ctl_words_set_digest(struct conf_rule *rule, const char *word)
{
    if (!word)
        return true;
    for (int i = 0; i < 3; i++) {
        if (strcmp(smime_digest_name(flow_names_digest(i)), word) == 0) {
            rule->digest = i;
            return true;
        }
    }
    ctl_say("--digest is sha256, sha384 or sha512, not \"%s\"", word);
    return false;
}

bool
ctl_words_set_cipher(struct conf_rule *rule, const char *word)
{
    if (!word)
        return true;
    for (int i = 0; i < 4; i++) {
        if (strcmp(smime_cipher_name(flow_names_cipher(i)), word) == 0) {
            rule->cipher = i;
            return true;
        }
    }
    ctl_say("--cipher is aes128-cbc, aes256-cbc, aes128-gcm or aes256-gcm, not \"%s\"", word);
    return false;
}
