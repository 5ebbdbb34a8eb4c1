#include "flow/bypass.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "util/clock.h"
#include "util/file.h"

enum { BYPASS_FILE_BYTES = 100 };

static const char bypass_head[] = "smimed bypass until ";

static atomic_int_fast64_t bypass_until_s, bypass_max_s;

static enum err_code
bypass_path(const struct conf_global *global, char *out, size_t size, struct err *err)
{
    if (snprintf(out, size, "%s/bypass", global->state_folder) >= (int)size)
        return err_set(err, ERR_LIMIT, "the name of state_folder is too long");
    return ERR_OK;
}

enum err_code
flow_bypass_load(const struct conf_global *global, struct err *err)
{
    const struct file_read_args args = { .limit_bytes = BYPASS_FILE_BYTES,
                                         .forbidden_mode = 0077,
                                         .check_owner = true };
    struct buf text = BUF_INIT(BYPASS_FILE_BYTES);
    char path[2048];
    int64_t until_s = 0;
    enum err_code code = bypass_path(global, path, sizeof path, err);

    atomic_store(&bypass_max_s, global->bypass_max / 1000);
    atomic_store(&bypass_until_s, 0);
    if (code == ERR_OK)
        code = file_read(path, &args, &text, err);
    if (code == ERR_OK && (strncmp(buf_str(&text), bypass_head, strlen(bypass_head)) != 0 ||
                           sscanf(buf_str(&text) + strlen(bypass_head), "%" SCNd64, &until_s) != 1))
        code = err_set(err, ERR_PERM, "%.200s is not a file of ours", path);
    if (code == ERR_OK)
        atomic_store(&bypass_until_s, until_s);
    buf_free(&text);
    if (code != ERR_NOTFOUND)
        return code;
    err_reset(err);
    return ERR_OK;
}

enum err_code
flow_bypass_set(const struct conf_global *global, int64_t for_ms, struct err *err)
{
    char path[2048], text[BYPASS_FILE_BYTES];
    int64_t until_s = for_ms > 0 ? (int64_t)clock_now_s() + for_ms / 1000 : 0;
    enum err_code code = bypass_path(global, path, sizeof path, err);

    if (for_ms > global->bypass_max)
        return err_set(err, ERR_LIMIT, "longer than bypass_max, which is %" PRId64 " minutes",
                       global->bypass_max / 60000);
    snprintf(text, sizeof text, "%s%" PRId64 "\n", bypass_head, until_s);
    if (code == ERR_OK)
        code = file_write(path, span_str(text), 0600, err);
    if (code != ERR_OK)
        return code;
    atomic_store(&bypass_max_s, global->bypass_max / 1000);
    atomic_store(&bypass_until_s, until_s);
    return ERR_OK;
}

time_t
flow_bypass_get(void)
{
    int64_t until_s = atomic_load(&bypass_until_s), left_s;

    if (until_s == 0)
        return 0;
    left_s = until_s - (int64_t)clock_now_s();
    return left_s > 0 && left_s <= atomic_load(&bypass_max_s) ? (time_t)until_s : 0;
}
