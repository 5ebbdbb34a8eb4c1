/*
 * What GMime sees in a message: a test's oracle, a program of its own because GMime crashes and
 * loops on hostile mail. Reads messages from stdin, each behind its length as a line of digits;
 * answers one line for each:
 *
 *     TYPE COUNT LEAF FIRST-BEGIN FIRST-END SECOND-BEGIN ADDRESS...
 *
 * TYPE is the media type of the root, COUNT its number of parts (0: no multipart), LEAF 1 when part
 * one is no multipart and no message, FIRST-BEGIN to FIRST-END the octets of the message that the
 * leaves of part one lie in, SECOND-BEGIN where those of part two begin (-1: there are none),
 * ADDRESS each mailbox of From.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/resource.h>

#include <gmime/gmime.h>

struct range {
    gint64 begin, end;
};

/* Where the contents of a leaf, or of all leaves below, lie in the stream that was parsed. */
static void
find_range(GMimeObject *part, struct range *range)
{
    if (GMIME_IS_MULTIPART(part)) {
        for (int i = 0; i < g_mime_multipart_get_count(GMIME_MULTIPART(part)); i++)
            find_range(g_mime_multipart_get_part(GMIME_MULTIPART(part), i), range);
    } else if (GMIME_IS_MESSAGE_PART(part)) {
        GMimeMessage *message = g_mime_message_part_get_message(GMIME_MESSAGE_PART(part));

        if (message && g_mime_message_get_mime_part(message))
            find_range(g_mime_message_get_mime_part(message), range);
    } else if (GMIME_IS_PART(part)) {
        GMimeDataWrapper *content = g_mime_part_get_content(GMIME_PART(part));
        GMimeStream *stream = content ? g_mime_data_wrapper_get_stream(content) : NULL;

        if (!stream)
            return;
        if (range->begin < 0 || stream->bound_start < range->begin)
            range->begin = stream->bound_start;
        if (stream->bound_end > range->end)
            range->end = stream->bound_end;
    }
}

static void
print_message(GMimeMessage *message)
{
    GMimeObject *root = g_mime_message_get_mime_part(message);
    InternetAddressList *from = g_mime_message_get_from(message);
    int count = GMIME_IS_MULTIPART(root) ? g_mime_multipart_get_count(GMIME_MULTIPART(root)) : 0;
    GMimeContentType *type = root ? g_mime_object_get_content_type(root) : NULL;
    GMimeObject *one = count > 0 ? g_mime_multipart_get_part(GMIME_MULTIPART(root), 0) : NULL;
    struct range first = { -1, -1 }, second = { -1, -1 };

    if (one)
        find_range(one, &first);
    if (count > 1)
        find_range(g_mime_multipart_get_part(GMIME_MULTIPART(root), 1), &second);
    printf("%s/%s %d %d %lld %lld %lld", type ? g_mime_content_type_get_media_type(type) : "none",
           type ? g_mime_content_type_get_media_subtype(type) : "none", count,
           one && GMIME_IS_PART(one), (long long)first.begin, (long long)first.end,
           (long long)second.begin);
    for (int i = 0; from && i < internet_address_list_length(from); i++) {
        InternetAddress *address = internet_address_list_get_address(from, i);

        printf(" %s", INTERNET_ADDRESS_IS_MAILBOX(address)
                          ? internet_address_mailbox_get_addr(INTERNET_ADDRESS_MAILBOX(address))
                          : "group");
    }
    putchar('\n');
    fflush(stdout);
}

int
main(void)
{
    const struct rlimit memory = { 512u << 20, 512u << 20 }, seconds = { 60, 60 };
    char line[32];

    if (setrlimit(RLIMIT_AS, &memory) != 0 || setrlimit(RLIMIT_CPU, &seconds) != 0)
        return 2;
    g_mime_init();
    while (fgets(line, sizeof line, stdin)) {
        size_t n = strtoul(line, NULL, 10);
        char *bytes = malloc(n + 1);

        if (!bytes || fread(bytes, 1, n, stdin) != n)
            return 2;
        GMimeStream *stream = g_mime_stream_mem_new_with_buffer(bytes, n);
        GMimeParser *parser = g_mime_parser_new_with_stream(stream);
        GMimeMessage *message = g_mime_parser_construct_message(parser, NULL);

        if (message)
            print_message(message);
        else
            puts("none/none 0 0 -1 -1 -1"), fflush(stdout);
        if (message)
            g_object_unref(message);
        g_object_unref(parser);
        g_object_unref(stream);
        free(bytes);
    }
    return 0;
}
