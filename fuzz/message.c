/*
 * plugin/message.c on arbitrary octets, for the sanitizers: tokens whole, as streams and in pieces,
 * checksums, and states of other processes. What is taken has to be what was sent.
 *
 * usage: message INPUTS NUMBER   so many mutations of good ones, the same ones for the same number
 *        message < FILE          one input
 *
 * The function is the one that libFuzzer calls, too.
 */

#include "../plugin/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_INPUT = 600, MOST_CHANGES = 5, MOST_PIECES = 8, TYPES = 4, CONTEXTS = 3 * TYPES, SEEDS = 64 };
enum { INPUTS_OF_A_CONTEXT = 2000 };

static const unsigned char root[32] = "a key that is of no use to any.";
static const char sent[] = "hello, this is what was sent, in more than one block of a cipher";
static struct message *receivers[CONTEXTS];
static unsigned long long state = 1;

static unsigned below(unsigned limit) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(state >> 33) % limit;
}

static void expect(bool holds, const char *what) {
    if (!holds) {
        fprintf(stderr, "%s\n", what);
        abort();
    }
}

static struct message *context(int number, bool initiator) {
    struct message_start start = {17 + number % TYPES, initiator, number >= TYPES, number >= 2 * TYPES,
                                  0, 0};
    struct message *message;
    OM_uint32 minor;

    message_create(&minor, &start, root, sizeof root, &message);
    expect(message != NULL, "a context");
    return message;
}

/* Withheld, refused, or what was sent: whole, or as much of it as there are pieces for. */
static void check(OM_uint32 major, OM_uint32 minor, const void *octets, size_t size) {
    if (GSS_ERROR(major)) {
        expect(message_words(minor) != NULL, "a sentence for every reason");
        return;
    }
    expect(minor == 0, "no reason");
    if (major & (GSS_S_DUPLICATE_TOKEN | GSS_S_OLD_TOKEN))
        return;
    expect(size <= sizeof sent && (size == 0 || memcmp(octets, sent, size) == 0), "what was sent");
}

static void whole(struct message *message, const uint8_t *octets, size_t size) {
    gss_buffer_desc token = {size, (void *)octets}, opened, said = {sizeof sent, (void *)sent};
    OM_uint32 minor, major = message_unwrap(&minor, message, &token, &opened, NULL, NULL);

    check(major, minor, opened.value, opened.length);
    gss_release_buffer(&minor, &opened);
    major = message_verify_mic(&minor, message, &said, &token, NULL);
    check(major, minor, NULL, 0);
}

static void as_stream(struct message *message, const uint8_t *octets, size_t size, OM_uint32 flag) {
    unsigned char *copy = malloc(size);
    gss_iov_buffer_desc iov[] = {{GSS_IOV_BUFFER_TYPE_STREAM, {size, copy}},
                                 {GSS_IOV_BUFFER_TYPE_DATA | flag, {0, NULL}}};
    OM_uint32 minor, major;

    if (size > 0)
        memcpy(copy, octets, size);
    major = message_unwrap_iov(&minor, message, NULL, NULL, iov, 2);
    check(major, minor, iov[1].buffer.value, iov[1].buffer.length);
    gss_release_iov_buffer(&minor, iov, 2);
    free(copy);
}

static const OM_uint32 types[] = {
    GSS_IOV_BUFFER_TYPE_DATA,   GSS_IOV_BUFFER_TYPE_DATA,      GSS_IOV_BUFFER_TYPE_SIGN_ONLY,
    GSS_IOV_BUFFER_TYPE_HEADER, GSS_IOV_BUFFER_TYPE_TRAILER,   GSS_IOV_BUFFER_TYPE_PADDING,
    GSS_IOV_BUFFER_TYPE_STREAM, GSS_IOV_BUFFER_TYPE_MIC_TOKEN, GSS_IOV_BUFFER_TYPE_EMPTY,
};

/* Usually as the sender laid it out; each piece in memory to the octet. */
static int cut(gss_iov_buffer_desc *iov, const uint8_t *octets, size_t size) {
    static const OM_uint32 usual[] = {GSS_IOV_BUFFER_TYPE_HEADER, GSS_IOV_BUFFER_TYPE_DATA,
                                      GSS_IOV_BUFFER_TYPE_DATA, GSS_IOV_BUFFER_TYPE_TRAILER};
    size_t ends[] = {size < 32 ? size : 32, 40, 32 + sizeof sent, size};
    bool strange = below(3) == 0;
    int count = strange ? 1 + (int)below(MOST_PIECES) : 4;
    size_t done = 0;

    for (int i = 0; i < count; i++) {
        size_t end = strange ? done + below((unsigned)(size - done + 1)) : ends[i];

        end = end < done ? done : end > size ? size : end;
        iov[i].type = strange ? types[below(sizeof types / sizeof *types)] : usual[i];
        iov[i].buffer.length = end - done;
        iov[i].buffer.value = malloc(end - done);
        if (end > done)
            memcpy(iov[i].buffer.value, octets + done, end - done);
        done = end;
    }
    return count;
}

static void in_pieces(struct message *message, const uint8_t *octets, size_t size) {
    gss_iov_buffer_desc iov[MOST_PIECES];
    void *memory[MOST_PIECES];
    int count = cut(iov, octets, size), mic = (int)below(4) == 0;
    OM_uint32 minor, major;

    for (int i = 0; i < count; i++)
        memory[i] = iov[i].buffer.value;
    major = mic ? message_verify_mic_iov(&minor, message, NULL, iov, count)
                : message_unwrap_iov(&minor, message, NULL, NULL, iov, count);
    check(major, minor, NULL, 0);
    for (int i = 0; i < count; i++)
        free(memory[i]);
}

static void as_state(const uint8_t *octets, size_t size) {
    struct message *message;
    gss_buffer_desc again;
    OM_uint32 minor;

    if (GSS_ERROR(message_import(&minor, octets, size, &message)))
        return;
    expect(!GSS_ERROR(message_export(&minor, message, &again)), "exported again");
    expect(again.length == size && memcmp(again.value, octets, size) == 0, "as it came in");
    gss_release_buffer(&minor, &again);
    message_free(message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static long inputs;
    int number = size > 0 ? data[0] % CONTEXTS : 0;

    if (inputs++ % INPUTS_OF_A_CONTEXT == 0)
        for (int i = 0; i < CONTEXTS; i++) {
            message_free(receivers[i]);
            receivers[i] = context(i, false);
        }
    if (size == 0)
        return 0;
    data++;
    size--;
    whole(receivers[number], data, size);
    as_stream(receivers[number], data, size, 0);
    as_stream(receivers[number], data, size, GSS_IOV_BUFFER_FLAG_ALLOCATE);
    in_pieces(receivers[number], data, size);
    as_state(data, size);
    return 0;
}

/* Good inputs: a context's number, and a token or a state. */

static struct { unsigned char octets[LONGEST_INPUT]; size_t size; } seeds[SEEDS];
static unsigned seed_count;

static void add_seed(int number, gss_buffer_t octets) {
    OM_uint32 minor;

    expect(seed_count < SEEDS && octets->length < LONGEST_INPUT, "room for a good input");
    seeds[seed_count].octets[0] = (unsigned char)number;
    memcpy(seeds[seed_count].octets + 1, octets->value, octets->length);
    seeds[seed_count++].size = octets->length + 1;
    gss_release_buffer(&minor, octets);
}

static void make_seeds(void) {
    gss_buffer_desc said = {sizeof sent, (void *)sent}, octets;
    OM_uint32 minor;

    for (int number = 0; number < CONTEXTS; number++) {
        struct message *message = context(number, true);

        for (int sealed = 0; sealed < 2; sealed++) {
            message_wrap(&minor, message, sealed, 0, &said, NULL, &octets);
            add_seed(number, &octets);
        }
        message_get_mic(&minor, message, 0, &said, &octets);
        add_seed(number, &octets);
        message_export(&minor, message, &octets);
        add_seed(number, &octets);
        message_free(message);
    }
}

static size_t change(unsigned char *octets, size_t size) {
    unsigned at = below((unsigned)size), length = below(20);

    switch (below(6)) {
    case 0: octets[at] ^= (unsigned char)(1u << below(8)); return size;
    case 1: octets[at] = (unsigned char)below(256); return size;
    case 2: return 1 + below((unsigned)size);
    case 3: octets[below(17) % size] = below(2) ? 0xff : 0; return size;
    case 4: octets[7 + below(2) < size ? 7 + below(2) : 0] = (unsigned char)below(256); return size;
    default:
        if (size + length > LONGEST_INPUT)
            return size;
        memmove(octets + at + length, octets + at, size - at);
        return size + length;
    }
}

static void mutate(long inputs) {
    make_seeds();
    for (long i = 0; i < inputs; i++) {
        unsigned char input[LONGEST_INPUT] = {0}, *exact;
        unsigned seed = below(seed_count);
        size_t size = seeds[seed].size;

        memcpy(input, seeds[seed].octets, size);
        for (unsigned changes = below(MOST_CHANGES); changes > 0; changes--)
            size = change(input, size);
        exact = malloc(size); /* to the octet, so that a look beyond is noticed */
        memcpy(exact, input, size);
        LLVMFuzzerTestOneInput(exact, size);
        free(exact);
    }
    for (int i = 0; i < CONTEXTS; i++)
        message_free(receivers[i]);
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
