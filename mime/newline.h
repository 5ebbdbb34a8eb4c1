/*
 * Line ends as a stage: every LF without a CR before it becomes CRLF; a CR stays what it is.
 */
#ifndef MIME_NEWLINE_H
#define MIME_NEWLINE_H

#include "util/stage.h"

ERR_CHECKED enum err_code mime_newline_new(struct stage *next, struct stage **out, struct err *err);

#endif
