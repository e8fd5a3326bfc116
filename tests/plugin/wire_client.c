/*
 * plugin/wire.c by itself, for tests.
 *
 * usage: wire_client lines            lines on standard input: each is split, its fields are printed in
 *                                     hexadecimal, and whether each is base64 and for what
 *        wire_client ask PATH COUNT   so many requests, one after another: what came of each, and when
 *        wire_client two PATH         a request, and another line of it
 *        wire_client fork PATH        a request, then one in a child and one in its parent
 *        wire_client stolen PATH      a request, then the program closes the descriptor and opens a
 *                                     file in its place, then another request: what the file holds
 *        wire_client loop PATH COUNT  the requests as a program with an event loop makes them
 *        wire_client hold PATH COUNT  so many connections at once, until standard input ends: how many
 *                                     there are, and how many of them are still good at the end
 */

#define _GNU_SOURCE
#include "../../plugin/wire.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long now_ms(void) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void print_hexadecimal(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++)
        printf("%02x", (unsigned char)text[i]);
}

static void print_line(struct wire_line *line) {
    for (int i = 0; i < line->count; i++) {
        size_t length;

        printf(" ");
        print_hexadecimal(line->fields[i], strlen(line->fields[i]));
        if (wire_decode(line->fields[i], &length)) {
            printf("=");
            print_hexadecimal(line->fields[i], length);
        }
    }
    printf("\n");
}

static int split_lines(void) {
    char *text = NULL;
    size_t size = 0;
    ssize_t length;

    while ((length = getline(&text, &size, stdin)) > 0) {
        struct wire_line line;
        char *copy = malloc((size_t)length); /* to the octet, so that a look beyond is noticed */

        memcpy(copy, text, (size_t)length);
        if (wire_split(copy, (size_t)length - 1, &line)) {
            printf("yes");
            print_line(&line);
        } else {
            printf("no\n");
        }
        free(copy);
    }
    free(text);
    return 0;
}

static enum wire_status wait_in_loop(struct wire *wire, unsigned id, struct wire_line *line) {
    enum wire_status status;

    while ((status = wire_look(wire, id, line)) == WIRE_WAIT) {
        struct pollfd one = {.fd = wire->descriptor, .events = POLLIN};

        if (poll(&one, 1, 3000) <= 0)
            return WIRE_LATE;
    }
    return status;
}

static enum wire_status ask_in_loop(struct wire *wire, struct wire_line *line) {
    enum wire_status status = wire_send(wire, 0);

    return status == WIRE_OK ? wait_in_loop(wire, wire->last_id, line) : status;
}

static struct wire *take(const char *path, bool in_loop, enum wire_status *status) {
    struct wire *wire;

    if (!in_loop)
        return wire_take(path, &wire_acceptor, status);
    wire = wire_begin_taking(path, &wire_acceptor, status);
    if (wire)
        *status = wait_in_loop(wire, 0, NULL);
    if (*status == WIRE_OK)
        return wire;
    wire_close(wire);
    return NULL;
}

/* One request with a field of every kind. What came of it, on one line. */
static int ask(const char *path, bool in_loop) {
    long began = now_ms();
    enum wire_status status;
    struct wire_line line;
    struct wire *wire;

    wire = take(path, in_loop, &status);
    if (wire) {
        wire_begin(wire, "AUTH", ++wire->last_id);
        wire_word(wire, "a\tword");
        wire_text(wire, "text-", "name", "one\ntwo\001three\rfour");
        wire_octets(wire, "", "octets", "\0\1\2\3", 4);
        status = in_loop ? ask_in_loop(wire, &line) : wire_ask(wire, wire->last_id, &line);
    }
    printf("%d ms: %s:", (int)(now_ms() - began), wire_words(status));
    if (status == WIRE_OK) {
        print_line(&line);
        wire_give_back(wire);
    } else {
        printf("\n");
        wire_close(wire);
    }
    fflush(stdout);
    return status == WIRE_OK ? 0 : 1;
}

static int ask_often(const char *path, int count, bool in_loop) {
    int failed = 0;

    for (int i = 0; i < count; i++) {
        failed += ask(path, in_loop);
        usleep(20000); /* a service that ends after its answer has done so by then */
    }
    return failed > 0;
}

static int ask_around_fork(const char *path) {
    int failed = ask(path, false), status;

    if (fork() == 0)
        _exit(ask(path, false));
    wait(&status);
    return failed + ask(path, false) + (status != 0);
}

static int ask_with_stolen_descriptor(const char *path) {
    int failed = ask(path, false), file;
    char held[8] = "";

    for (int descriptor = 3; descriptor < 64; descriptor++)
        close(descriptor);
    for (int i = 0; i < 4; i++) /* whichever number it had is this file's now */
        file = open(".", O_TMPFILE | O_RDWR, 0600);
    failed += ask(path, false);
    printf("the file holds %d octets\n", (int)pread(file, held, sizeof held, 0));
    return failed;
}

/* A request that takes two lines. */
static int ask_twice(const char *path) {
    enum wire_status status;
    struct wire_line line;
    struct wire *wire = wire_take(path, &wire_acceptor, &status);

    for (int i = 0; wire && i < 2 && status == WIRE_OK; i++) {
        wire_begin(wire, i == 0 ? "AUTH" : "CONT", wire->last_id + 1);
        status = wire_ask(wire, wire->last_id + 1, &line);
        printf("%d ms: %s:\n", 0, wire_words(status));
    }
    wire_close(wire);
    return status != WIRE_OK;
}

/* An answer of any kind to a request of any kind. */
static bool is_answered(struct wire *wire) {
    struct wire_line line;

    wire_begin(wire, "AUTH", ++wire->last_id);
    wire_word(wire, "NONE");
    wire_text(wire, "", "service", "imap");
    return wire_ask(wire, wire->last_id, &line) == WIRE_OK;
}

static int hold(const char *path, int count) {
    struct wire **wires = calloc((size_t)count, sizeof *wires);
    enum wire_status status;
    int taken = 0, answered = 0;

    while (taken < count && (wires[taken] = wire_take(path, &wire_acceptor, &status)))
        taken++;
    printf("%d taken\n", taken);
    fflush(stdout);
    while (getchar() != EOF)
        ;
    for (int i = 0; i < taken; i++) {
        answered += is_answered(wires[i]);
        wire_close(wires[i]);
    }
    printf("%d answered\n", answered);
    free(wires);
    return answered < count;
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "", *path = argc > 2 ? argv[2] : "";
    int count = argc > 3 ? atoi(argv[3]) : 1;

    if (strcmp(what, "lines") == 0)
        return split_lines();
    if (strcmp(what, "ask") == 0)
        return ask_often(path, count, false);
    if (strcmp(what, "loop") == 0)
        return ask_often(path, count, true);
    if (strcmp(what, "two") == 0)
        return ask_twice(path);
    if (strcmp(what, "fork") == 0)
        return ask_around_fork(path);
    if (strcmp(what, "hold") == 0)
        return hold(path, count);
    if (strcmp(what, "stolen") == 0)
        return ask_with_stolen_descriptor(path);
    return 2;
}
