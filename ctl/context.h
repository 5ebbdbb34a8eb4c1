/*
 * What a command that needs the configuration starts with: the configuration alone, or the whole
 * snapshot of keys, certificates, trust and directories that the daemon works with.
 *
 * Both say on stderr what is wrong and return the exit code to end with; CTL_EXIT_YES is "go on".
 * Threads: one.
 */
#ifndef CTL_CONTEXT_H
#define CTL_CONTEXT_H

#include "ctl/option.h"
#include "flow/services.h"

/* The options all of these commands share. */
struct ctl_common {
    const char *config; /* NULL: the installed one */
    bool json;
};

#define CTL_COMMON_OPTIONS(common)                         \
    { "config", 'c', CTL_OPTION_VALUE, &(common).config }, \
    {                                                      \
        "json", 0, CTL_OPTION_FLAG, &(common).json         \
    }

/* The file that is meant. */
const char *ctl_context_path(const struct ctl_common *common);

int ctl_context_load_conf(const struct ctl_common *common, struct conf **out);
int ctl_context_load(const struct ctl_common *common, struct flow_services **out);

/* A private folder for what does not fit into memory: $TMPDIR or /tmp. Static or of the
 * environment. */
const char *ctl_context_scratch(void);

#endif
