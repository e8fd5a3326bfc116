/*
 * Both sides of libsasl2 in one process, as often, in as many threads and across as many forks as
 * asked: what slapd, imapd and smtpd do to a plugin, without them.
 *
 * usage: driver [-m mechanisms for the client] [-M mechanism that the server is told instead]
 *               [-s service] [-h host] [-u authname] [-z authzid] [-t threads]
 *               [-n exchanges per thread] [-i interleaved exchanges] [-r repeated inits]
 *               [-f forks before the first use] [-F forks after it] [-w exchanges before measuring]
 *               [-d] (success data) [-q] (do not print)
 *               [-b] (channel binding that both sides require) [-B] (that both sides have)
 *               [-p property that the server requests and prints]
 *               [-l] (print what both sides list, with separators as imapd has them)
 *               [-g file of clients' first messages, each behind its length in four octets: the
 *                server's side alone takes them, once each]
 *
 * Each thread does its exchanges twice, before and after the forks in between. Prints one line for
 * each failure, then "ok N failed N" and what has grown between the end of the warm-up and the end:
 * resident memory in KiB. With -g, it also prints what the messages took: CPU time in microseconds.
 */

#define _GNU_SOURCE
#include <getopt.h>
#include <pthread.h>
#include <sasl/prop.h>
#include <sasl/sasl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_INTERLEAVED = 64, MOST_STEPS = 8, MOST_OCTETS = 16384 };
enum { REQUIRED = 1, OPTIONAL };

static const char *mechanism = "BROWSERID-AES128", *service = "imap", *host = "localhost";
static const char *claimed;
static const char *authname = "", *authzid = "";
static const char *properties[] = {NULL, NULL};
static int threads = 1, exchanges = 1, interleaved = 1, inits = 1, forks_before, forks_after;
static int warm_up, success_data, bound, listing, quiet;
static FILE *given;

static atomic_int succeeded, failed;

struct pair {
    sasl_conn_t *client, *server;
    const char *mechanism, *message;
    unsigned length;
    int client_code, server_code, steps;
};

static int get_simple(void *context, int id, const char **result, unsigned *length) {
    (void)context;
    *result = id == SASL_CB_AUTHNAME ? authname : authzid;
    if (length)
        *length = (unsigned)strlen(*result);
    return SASL_OK;
}

static int log_message(void *context, int level, const char *message) {
    if (level <= SASL_LOG_WARN && !quiet)
        printf("%s log %d: %s\n", (const char *)context, level, message);
    return SASL_OK;
}

static int allow_everybody(sasl_conn_t *conn, void *context, const char *user, unsigned length,
                           const char *authid, unsigned authid_length, const char *realm,
                           unsigned realm_length, struct propctx *properties) {
    (void)conn, (void)context, (void)user, (void)length, (void)authid, (void)authid_length;
    (void)realm, (void)realm_length, (void)properties;
    return SASL_OK;
}

typedef int (*callback)(void);

static const sasl_callback_t client_callbacks[] = {
    {SASL_CB_AUTHNAME, (callback)(void (*)(void))get_simple, NULL},
    {SASL_CB_USER, (callback)(void (*)(void))get_simple, NULL},
    {SASL_CB_LOG, (callback)(void (*)(void))log_message, "client"},
    {SASL_CB_LIST_END, NULL, NULL},
};

static const sasl_callback_t server_callbacks[] = {
    {SASL_CB_LOG, (callback)(void (*)(void))log_message, "server"},
    {SASL_CB_PROXY_POLICY, (callback)(void (*)(void))allow_everybody, NULL},
    {SASL_CB_LIST_END, NULL, NULL},
};

/* A connection on both sides. False if there is none. */
static int create(struct pair *pair) {
    static const unsigned char data[] = "0123456789abcdef0123456789abcdef";
    static const sasl_channel_binding_t required = {"tls-exporter", 1, 32, data};
    static const sasl_channel_binding_t optional = {"tls-exporter", 0, 32, data};
    const sasl_channel_binding_t *binding = bound == REQUIRED ? &required : &optional;
    unsigned flags = success_data ? SASL_SUCCESS_DATA : 0;

    memset(pair, 0, sizeof *pair);
    pair->server_code = SASL_CONTINUE;
    pair->client_code = sasl_client_new(service, host, NULL, NULL, NULL, flags, &pair->client);
    if (pair->client_code == SASL_OK)
        pair->server_code = sasl_server_new(service, host, NULL, NULL, NULL, NULL, flags, &pair->server);
    if (pair->client_code != SASL_OK || pair->server_code != SASL_OK)
        return 0;
    if (properties[0])
        sasl_auxprop_request(pair->server, properties);
    if (bound) {
        sasl_setprop(pair->client, SASL_CHANNEL_BINDING, binding);
        sasl_setprop(pair->server, SASL_CHANNEL_BINDING, binding);
    }
    return 1;
}

static void start(struct pair *pair) {
    if (!create(pair))
        return;
    pair->client_code = sasl_client_start(pair->client, mechanism, NULL, &pair->message,
                                          &pair->length, &pair->mechanism);
    pair->server_code = SASL_CONTINUE;
}

static void print_list(const char *side, sasl_conn_t *conn) {
    const char *list = NULL;
    int count = 0, code;

    code = sasl_listmech(conn, NULL, "AUTH=", " AUTH=", " SASL-IR", &list, NULL, &count);
    printf("%s lists %d: %s\n", side, count,
           code == SASL_OK ? list : sasl_errstring(code, NULL, NULL));
}

static void print_lists(void) {
    const char **all = sasl_global_listmech();
    struct pair pair;

    if (!create(&pair))
        exit(2);
    print_list("client", pair.client);
    print_list("server", pair.server);
    sasl_dispose(&pair.client);
    sasl_dispose(&pair.server);
    printf("all");
    while (*all)
        printf(" %s", *all++);
    printf("\n");
}

static int is_going(int code) { return code == SASL_CONTINUE || code == SASL_OK; }

static int is_over(const struct pair *pair) {
    return !is_going(pair->client_code) || !is_going(pair->server_code) ||
           (pair->client_code == SASL_OK && pair->server_code == SASL_OK) ||
           pair->steps > MOST_STEPS;
}

/* One message each way. */
static void advance(struct pair *pair) {
    const char *answer = NULL;
    unsigned length = 0;

    if (pair->steps++ == 0)
        pair->server_code =
            sasl_server_start(pair->server, claimed ? claimed : pair->mechanism, pair->message,
                              pair->length, &answer, &length);
    else
        pair->server_code =
            sasl_server_step(pair->server, pair->message, pair->length, &answer, &length);
    if (pair->client_code == SASL_CONTINUE && is_going(pair->server_code))
        pair->client_code = sasl_client_step(pair->client, answer ? answer : "", length, NULL,
                                             &pair->message, &pair->length);
}

static void print_property(struct pair *pair) {
    struct propval values[1];

    if (prop_getnames(sasl_auxprop_getctx(pair->server), properties, values) == 1 &&
        values[0].nvalues > 0)
        printf("%s=%s\n", properties[0], values[0].values[0]);
}

static void finish(struct pair *pair) {
    if (properties[0])
        print_property(pair);
    if (pair->client_code == SASL_OK && pair->server_code == SASL_OK) {
        succeeded++;
    } else {
        failed++;
        if (!quiet)
            printf("client %d %s; server %d %s\n", pair->client_code,
                   pair->client ? sasl_errdetail(pair->client) : "", pair->server_code,
                   pair->server ? sasl_errdetail(pair->server) : "");
    }
    if (pair->client)
        sasl_dispose(&pair->client);
    if (pair->server)
        sasl_dispose(&pair->server);
}

static void run(int count) {
    struct pair pairs[MOST_INTERLEAVED];

    for (int done = 0; done < count; done += interleaved) {
        int going = 1;

        for (int i = 0; i < interleaved; i++)
            start(&pairs[i]);
        while (going) {
            going = 0;
            for (int i = 0; i < interleaved; i++)
                if (!is_over(&pairs[i])) {
                    advance(&pairs[i]);
                    going = 1;
                }
        }
        for (int i = 0; i < interleaved; i++)
            finish(&pairs[i]);
    }
}

static int read_message(char *message, unsigned most) {
    unsigned char octets[4];
    unsigned length;

    if (fread(octets, sizeof octets, 1, given) != 1)
        return -1;
    length = (unsigned)octets[0] << 24 | octets[1] << 16 | octets[2] << 8 | octets[3];
    if (length > most || fread(message, 1, length, given) != length)
        exit(2);
    return (int)length;
}

static long cpu_microseconds(void) {
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000L + usage.ru_utime.tv_usec +
           usage.ru_stime.tv_usec;
}

/* The server's side of logins whose clients are not here. */
static void run_given(void) {
    static char message[MOST_OCTETS];
    long before = cpu_microseconds();
    int length;

    while ((length = read_message(message, sizeof message)) >= 0) {
        sasl_conn_t *server = NULL;
        const char *answer = NULL;
        unsigned size = 0;
        int code = sasl_server_new(service, host, NULL, NULL, NULL, NULL, SASL_SUCCESS_DATA, &server);

        if (code == SASL_OK)
            code = sasl_server_start(server, mechanism, message, (unsigned)length, &answer, &size);
        if (code == SASL_OK)
            succeeded++;
        else
            failed++;
        sasl_dispose(&server);
    }
    printf("cpu %ld\n", cpu_microseconds() - before);
}

static void *run_in_thread(void *unused) {
    (void)unused;
    run(exchanges);
    return NULL;
}

static void run_in_threads(void) {
    pthread_t *all = calloc((size_t)threads, sizeof *all);

    for (int i = 0; i < threads; i++)
        pthread_create(&all[i], NULL, run_in_thread, NULL);
    for (int i = 0; i < threads; i++)
        pthread_join(all[i], NULL);
    free(all);
}

static long resident_kib(void) {
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    if (file) {
        if (fscanf(file, "%*d %ld", &pages) != 1)
            pages = 0;
        fclose(file);
    }
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* Children that each run the whole thing, whose failures count here. */
static void fork_children(int count) {
    fflush(stdout);
    for (int i = 0; i < count; i++)
        if (fork() == 0) {
            succeeded = failed = 0;
            run_in_threads();
            fflush(stdout);
            _exit(failed == 0 && succeeded > 0 ? 0 : 1);
        }
}

static void wait_for_children(int count) {
    for (int i = 0; i < count; i++) {
        int status;

        wait(&status);
        if (status == 0)
            succeeded++;
        else
            failed++;
    }
}

static void initialise(void) {
    int code = sasl_client_init(client_callbacks);

    if (code == SASL_OK)
        code = sasl_server_init(server_callbacks, "driver");
    if (code != SASL_OK) {
        printf("init: %s\n", sasl_errstring(code, NULL, NULL));
        exit(2);
    }
}

static void read_arguments(int argc, char **argv) {
    int option;

    while ((option = getopt(argc, argv, "m:M:s:h:u:z:p:t:n:i:r:f:F:w:g:dbBlq")) != -1)
        switch (option) {
        case 'm': mechanism = optarg; break;
        case 'M': claimed = optarg; break;
        case 's': service = optarg; break;
        case 'h': host = optarg; break;
        case 'u': authname = optarg; break;
        case 'z': authzid = optarg; break;
        case 'p': properties[0] = optarg; break;
        case 't': threads = atoi(optarg); break;
        case 'n': exchanges = atoi(optarg); break;
        case 'i': interleaved = atoi(optarg); break;
        case 'r': inits = atoi(optarg); break;
        case 'f': forks_before = atoi(optarg); break;
        case 'F': forks_after = atoi(optarg); break;
        case 'w': warm_up = atoi(optarg); break;
        case 'g': given = fopen(optarg, "rb"); if (!given) exit(2); break;
        case 'd': success_data = 1; break;
        case 'b': bound = REQUIRED; break;
        case 'B': bound = OPTIONAL; break;
        case 'l': listing = 1; break;
        case 'q': quiet = 1; break;
        default: exit(2);
        }
    if (interleaved < 1 || interleaved > MOST_INTERLEAVED)
        exit(2);
}

int main(int argc, char **argv) {
    long resident;

    read_arguments(argc, argv);
    initialise();
    if (listing)
        print_lists();
    fork_children(forks_before);
    wait_for_children(forks_before);
    run(warm_up);
    resident = resident_kib();
    if (given) {
        run_given();
        inits = 0;
    }
    for (int i = 0; i < inits; i++) {
        if (i > 0)
            initialise();
        run_in_threads();
        fork_children(forks_after);
        run_in_threads();
        wait_for_children(forks_after);
        sasl_client_done();
        sasl_server_done();
    }
    printf("ok %d failed %d grown %ld KiB\n", succeeded, failed, resident_kib() - resident);
    return failed ? 1 : 0;
}
