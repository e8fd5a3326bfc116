/*
 * Finding the person's agent, and starting it where it does not run.
 *
 * It is looked for where BROWSERID_AGENT says (a forwarded socket, say), else in the folder that the
 * system gives each user for such things, else in the person's home. A program that runs with
 * another's rights (set-user-ID) believes none of these variables.
 */

#define _GNU_SOURCE
#include "agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { START_MS = 5000, LOOK_AGAIN_MS = 20, LONGEST_DISPLAY = 64 };

static const struct wire_service service = {
    .greeting = "VERSION\tbrowserid-agent\t1",
    .ours = "VERSION\tbrowserid-agent\t1\n",
    .is_own = true,
};

static bool fits(int length, size_t size) { return length > 0 && (size_t)length < size; }

/* The person's home, from the environment or the system's list of accounts. */
static bool find_home(char home[], size_t size) {
    const char *variable = secure_getenv("HOME");
    struct passwd account, *found = NULL;
    char texts[1024];

    if (variable && *variable == '/')
        return fits(snprintf(home, size, "%s", variable), size);
    if (getpwuid_r(geteuid(), &account, texts, sizeof texts, &found) != 0 || !found)
        return false;
    return fits(snprintf(home, size, "%s", account.pw_dir), size);
}

/* A folder of the person's: where a variable says, or below their home. */
static bool find_folder(const char *variable, const char *below_home, char folder[], size_t size) {
    const char *named = secure_getenv(variable);
    char home[PATH_MAX];

    if (named && *named == '/')
        return fits(snprintf(folder, size, "%s", named), size);
    return below_home && find_home(home, sizeof home) &&
           fits(snprintf(folder, size, "%s/%s", home, below_home), size);
}

static bool is_own_folder(const char *path) {
    struct stat status;

    return stat(path, &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == geteuid();
}

static bool find_socket(char path[], size_t size) {
    const char *named = secure_getenv("BROWSERID_AGENT");
    char folder[PATH_MAX];

    if (named && *named)
        return fits(snprintf(path, size, "%s", named), size);
    if (find_folder("XDG_RUNTIME_DIR", NULL, folder, sizeof folder) && is_own_folder(folder))
        return fits(snprintf(path, size, "%s/browserid/agent", folder), size);
    return find_folder("XDG_STATE_HOME", ".local/state", folder, sizeof folder) &&
           fits(snprintf(path, size, "%s/browserid/agent", folder), size);
}

/*
 * Whether this person has ever signed in, and not out again: signing in leaves a link to each store
 * of keys in one folder (browserid_sasl.agent.presence). libsasl2 does not fall back from a mechanism
 * that fails: to offer ours to somebody without an identity breaks the logins they have. This runs
 * in every program with SASL. It starts nothing, and makes nothing.
 */
static bool somebody_has_signed_in(void) {
    char home[PATH_MAX], path[PATH_MAX];
    struct dirent *entry;
    struct stat status;
    bool found = false;
    DIR *folder;

    if (!find_folder("XDG_DATA_HOME", ".local/share", home, sizeof home) ||
        !fits(snprintf(path, sizeof path, "%s/browserid/signed-in", home), sizeof path))
        return false;
    folder = opendir(path);
    if (!folder) /* without memory to look, the agent knows */
        return errno == ENOMEM;
    while (!found && (entry = readdir(folder)))
        found = entry->d_name[0] != '.' && fstatat(dirfd(folder), entry->d_name, &status, 0) == 0 &&
                S_ISREG(status.st_mode);
    closedir(folder);
    return found;
}

bool agent_is_of_use(void) {
    const char *named = secure_getenv("BROWSERID_AGENT");

    if (getauxval(AT_SECURE))
        return false;
    /* Not where one merely runs: it may have been asked who is signed in, and have said nobody. */
    return (named && *named) || somebody_has_signed_in();
}

/* The environment without what is meant for this program's own Python or its dynamic linker. */
static char **environment_of_agent(void) {
    size_t count = 0, kept = 0;
    char **variables;

    while (environ[count])
        count++;
    variables = calloc(count + 1, sizeof *variables);
    for (size_t i = 0; variables && i < count; i++)
        if (strncmp(environ[i], "PYTHON", 6) != 0 && strncmp(environ[i], "LD_", 3) != 0)
            variables[kept++] = environ[i];
    return variables;
}

/* Start it without anything of this program's but the environment. It goes its own way at once. */
static bool start(pid_t *child) {
    static char program[] = AGENT, background[] = "--background";
    char *arguments[] = {program, background, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    char **variables;
    bool started;

    if (getauxval(AT_SECURE) || !(variables = environment_of_agent()))
        return false;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    posix_spawnattr_init(&attributes);
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK);
    started = posix_spawn(child, program, &actions, &attributes, arguments, variables) == 0;
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    free(variables);
    return started;
}

static void pause_ms(long ms) {
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    while (nanosleep(&time, &time) != 0 && errno == EINTR)
        ;
}

/* A program may collect its children itself, and find this one gone: then there is no status. */
static bool has_failed(pid_t child) {
    int status;

    return waitpid(child, &status, WNOHANG) == child &&
           !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static struct wire *start_and_take(const char *path, enum wire_status *status) {
    struct wire *wire;
    pid_t child;

    errno = 0;
    if (!start(&child)) {
        if (errno == ENOMEM)
            *status = WIRE_NO_MEMORY;
        return NULL;
    }
    for (int waited = 0; waited < START_MS; waited += LOOK_AGAIN_MS) {
        pause_ms(LOOK_AGAIN_MS);
        wire = wire_take(path, &service, status);
        if (wire || *status != WIRE_ABSENT || has_failed(child))
            break;
    }
    (void)waitpid(child, NULL, WNOHANG);
    return wire;
}

struct wire *agent_take(char path[], size_t size, enum wire_status *status) {
    const char *named = secure_getenv("BROWSERID_AGENT");
    struct wire *wire;

    *status = WIRE_ABSENT;
    if (!find_socket(path, size)) {
        snprintf(path, size, "no home and no BROWSERID_AGENT");
        return NULL;
    }
    wire = wire_take(path, &service, status);
    /* One that is ending takes the connection and closes it. Nothing has been asked of it yet. */
    if (wire || (*status != WIRE_ABSENT && *status != WIRE_CLOSED) || (named && *named))
        return wire;
    return start_and_take(path, status);
}

void agent_tell_displays(struct wire *wire) {
    static const char *const variables[] = {"DISPLAY", "WAYLAND_DISPLAY"};
    static const char *const names[] = {"display", "wayland_display"};

    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        const char *value = secure_getenv(variables[i]);

        if (value && *value && strlen(value) <= LONGEST_DISPLAY)
            wire_text(wire, "", names[i], value);
    }
}
