/*
 * plugin/wire.c on arbitrary octets, for the sanitizers: lines taken apart, a connection on which
 * anything comes, and lines that are made of anything and have to come back as they were.
 *
 * usage: wire INPUTS NUMBER   so many mutations of lines as services send them, the same ones for
 *                             the same number
 *        wire < FILE          one input
 *
 * The function is the one that libFuzzer calls, too.
 */

#define _GNU_SOURCE
#include "../plugin/wire.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LONGEST_INPUT = 4096, LONGEST_PART = 40, MOST_CHANGES = 6 };

static const char *const seeds[] = {
    "VERSION\t1\t2\nMECH\tBROWSERID\nSPID\t1\nCUID\t1\nCOOKIE\t0\nDONE\n",
    "VERSION\t1\t2\nDONE\nOK\t1\tuser=alice@example.org\tresp=QUJD\n",
    "VERSION\t1\t2\nDONE\nCONT\t1\tQUJDRA==\nFAIL\t1\ttemp\treason=a\001tb\001nc\nOK\t1\n",
    "OK\t1\tuser=a\0011b\001r\t=\t==\tQQ==\tQUI=\n",
};

#define TABS "\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t"

static const char *const pieces[] = {
    "\t",   "\n",     "\001",           "\001t", "\0010", "=",               "==",
    "QUJD", "OK\t1\t", "VERSION\t1\t", "\377",  "user=", TABS TABS TABS TABS, "DONE\n",
};

static void expect(bool holds, const char *what) {
    if (!holds) {
        fprintf(stderr, "not so: %s\n", what);
        abort();
    }
}

/* To the octet, so that a look beyond is noticed. */
static char *copy(const void *octets, size_t length) {
    char *text = malloc(length + 1);

    memcpy(text, octets, length);
    text[length] = '\n';
    return text;
}

static void look_at(struct wire_line *line) {
    wire_value(line, "user");
    wire_value(line, "");
    for (int i = 0; i < line->count; i++) {
        size_t length, most = strlen(line->fields[i]);

        if (wire_decode(line->fields[i], &length))
            expect(length <= most && line->fields[i][length] == '\0', "decoding makes shorter");
    }
}

static void take_apart(const uint8_t *octets, size_t length) {
    char *text = copy(octets, length);
    struct wire_line line;

    if (wire_split(text, length, &line))
        look_at(&line);
    free(text);
}

static struct wire *connected(int descriptor) {
    struct wire *wire = calloc(1, sizeof *wire);
    struct stat self = {0};

    fstat(descriptor, &self);
    wire->service = &wire_acceptor;
    wire->descriptor = descriptor;
    wire->owner = getpid();
    wire->device = self.st_dev;
    wire->inode = self.st_ino;
    return wire;
}

/* In two parts, as a socket may give them. */
static void receive(const uint8_t *octets, size_t length) {
    size_t parts[] = {length / 3, length - length / 3};
    struct wire_line line;
    struct wire *wire;
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        abort();
    wire = connected(ends[0]);
    for (int i = 0; i < 2; i++) {
        if (write(ends[1], octets, parts[i]) < 0)
            abort();
        octets += parts[i];
        while (wire_look(wire, 1, wire->greeted ? &line : NULL) == WIRE_OK)
            if (wire->greeted && wire->begins == wire->ends)
                break;
    }
    close(ends[1]);
    if (wire->greeted && wire_look(wire, 1, &line) == WIRE_OK)
        look_at(&line);
    wire_close(wire);
}

/* What is sent is read as what it was. */
static void send_and_read(const uint8_t *octets, size_t length) {
    struct wire *wire = connected(-1);
    char *text = copy(octets, length);
    struct wire_line line;
    size_t decoded;

    text[length] = '\0';
    wire_begin(wire, "OK", 1);
    wire_word(wire, text);
    wire_text(wire, "name", "", text);
    wire_octets(wire, "", "", octets, length);
    if (!wire->overflowed) {
        expect(wire_split(wire->out, wire->length, &line) && line.count == 5, "five fields");
        expect(strcmp(line.fields[2], text) == 0, "the word");
        expect(strcmp(wire_value(&line, "name") ? line.fields[3] + 5 : "", text) == 0, "the text");
        expect(wire_decode(line.fields[4], &decoded) && decoded == length &&
                   memcmp(line.fields[4], octets, length) == 0,
               "the octets");
    }
    free(text);
    wire_close(wire);
}

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t length) {
    take_apart(octets, length);
    receive(octets, length);
    send_and_read(octets, length);
    return 0;
}

/* Mutations */

static uint64_t state;

static size_t below(size_t limit) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return limit ? state % limit : 0;
}

static size_t replace(char *input, size_t length, size_t begin, size_t end, const char *by,
                      size_t size) {
    if (length - (end - begin) + size > LONGEST_INPUT)
        return length;
    memmove(input + begin + size, input + end, length - end);
    memcpy(input + begin, by, size);
    return length - (end - begin) + size;
}

static size_t change(char *input, size_t length) {
    char octet = (char)below(256), part[LONGEST_PART];
    const char *piece = pieces[below(sizeof pieces / sizeof *pieces)];
    size_t begin = below(length + 1), most = length - begin, end;

    end = begin + below((most < sizeof part ? most : sizeof part) + 1);
    memcpy(part, input + begin, end - begin);
    switch (below(5)) {
    case 0: return replace(input, length, begin, end, "", 0);
    case 1: return replace(input, length, begin, begin, part, end - begin);
    case 2: return replace(input, length, begin, end, &octet, 1);
    case 3: return replace(input, length, begin, begin, piece, strlen(piece));
    default: return replace(input, length, begin, end, piece, strlen(piece));
    }
}

static void mutate(long inputs) {
    char *input = malloc(LONGEST_INPUT);

    for (long i = 0; i < inputs; i++) {
        const char *seed = seeds[below(sizeof seeds / sizeof *seeds)];
        size_t length = strlen(seed);

        memcpy(input, seed, length);
        for (size_t changes = below(MOST_CHANGES); changes > 0; changes--)
            length = change(input, length);
        LLVMFuzzerTestOneInput((const uint8_t *)input, length);
    }
    free(input);
}

#ifndef LIBFUZZER
int main(int argc, char **argv) {
    uint8_t input[LONGEST_INPUT];

    if (argc != 3)
        return LLVMFuzzerTestOneInput(input, fread(input, 1, sizeof input, stdin));
    state = strtoull(argv[2], NULL, 10) + 1;
    mutate(strtol(argv[1], NULL, 10));
    return 0;
}
#endif
