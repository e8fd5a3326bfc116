/*
 * Minor statuses. A number says which of PROTOCOL.md's reasons it was; what exactly was wrong, and
 * what to do about it, is a sentence that the thread which failed keeps until it fails again.
 */

#include "gss_status.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "mechanisms.h"

enum { SENTENCE_SIZE = 1024 };

struct failure {
    OM_uint32 reason;
    char sentence[SENTENCE_SIZE];
};

/*
 * Not _Thread_local: of a library that is loaded late, the linker takes memory for that when it is
 * first used, and ends the program where there is none.
 */
static pthread_key_t key;
static bool has_key;

__attribute__((constructor)) static void make_key(void) {
    has_key = pthread_key_create(&key, free) == 0;
}

/* A thread that outlives the library must not look for `free` here. */
__attribute__((destructor)) static void delete_key(void) {
    if (!has_key)
        return;
    free(pthread_getspecific(key));
    pthread_key_delete(key);
}

/* This thread's, NULL if it has none yet. */
static struct failure *last_failure(void) { return has_key ? pthread_getspecific(key) : NULL; }

/* NULL for lack of memory: then the reason has its name and no sentence. */
static struct failure *make_last_failure(void) {
    struct failure *failure = last_failure();

    if (failure || !has_key)
        return failure;
    failure = calloc(1, sizeof *failure);
    if (failure && pthread_setspecific(key, failure) == 0)
        return failure;
    free(failure);
    return NULL;
}

OM_uint32 gss_status_fail(OM_uint32 *minor, OM_uint32 major, OM_uint32 reason, const char *format,
                          ...) {
    struct failure *failure = make_last_failure();
    va_list arguments;

    *minor = reason;
    if (!failure)
        return major;
    va_start(arguments, format);
    vsnprintf(failure->sentence, sizeof failure->sentence, format, arguments);
    va_end(arguments);
    failure->reason = reason;
    return major;
}

OM_uint32 gss_status_no_memory(OM_uint32 *minor) {
    *minor = REASON_NO_MEMORY;
    return GSS_S_FAILURE;
}

const char *gss_status_words(OM_uint32 reason) {
    const struct failure *failure = last_failure();

    if (reason == REASON_NO_MEMORY) /* which no room is needed for */
        return "out of memory";
    if (failure && reason == failure->reason && *failure->sentence)
        return failure->sentence;
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].number == reason)
            return reasons[i].name;
    return "unknown-error-code";
}
