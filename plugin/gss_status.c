/*
 * Minor statuses. A number says which of PROTOCOL.md's reasons it was; what exactly was wrong, and
 * what to do about it, is a sentence that the thread which failed keeps until it fails again.
 */

#include "gss_status.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include "mechanisms.h"

enum { SENTENCE_SIZE = 1024 };

static _Thread_local struct {
    OM_uint32 reason;
    char sentence[SENTENCE_SIZE];
} last;

OM_uint32 gss_status_fail(OM_uint32 *minor, OM_uint32 major, OM_uint32 reason, const char *format,
                          ...) {
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(last.sentence, sizeof last.sentence, format, arguments);
    va_end(arguments);
    last.reason = reason;
    *minor = reason;
    return major;
}

OM_uint32 gss_status_no_memory(OM_uint32 *minor) {
    return gss_status_fail(minor, GSS_S_FAILURE, REASON_NO_MEMORY, "out of memory");
}

const char *gss_status_words(OM_uint32 reason) {
    if (reason == last.reason && *last.sentence)
        return last.sentence;
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].number == reason)
            return reasons[i].name;
    return "unknown-error-code";
}
