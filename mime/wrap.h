/*
 * New line breaks for base64 text, as a stage.                                       RFC 2045 6.8
 *
 * White space and line breaks go, CRLF comes after every 76 characters and at the end; every other
 * octet stays, in the alphabet or not. So no decoder's result changes.
 */
#ifndef MIME_WRAP_H
#define MIME_WRAP_H

#include "util/stage.h"

ERR_CHECKED enum err_code mime_wrap_new(struct stage *next, struct stage **out, struct err *err);

#endif
