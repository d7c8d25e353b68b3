// A plugin for QEMU's user mode (plugin API 1, QEMU 5.2 to 8.2): counts the guest's instructions, by function if asked.
//
//     cc -O2 -shared -fPIC -o count.so count.c
//     qemu-aarch64 -plugin ./count.so,out=FILE[,by=function] PROGRAM
//
// When the program ends, the file gets a line `all N`, and for each function a line `NAME N`.
// What it needs of the plugin API is declared here, so that no header of QEMU's need be installed.
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const char *qemu_plugin_insn_symbol(const struct qemu_plugin_insn *);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *, int op, void *, uint64_t);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

enum { ADD = 0, FUNCTIONS = 4096, NAME = 256 };

static uint64_t all;
static struct { char name[NAME]; uint64_t count; } functions[FUNCTIONS];
static int known, by_function;
static const char *path;

// The counter of a function; the last is for all that there is no room for.
static uint64_t *counter(const char *name) {
    if (!name) name = "?";
    for (int i = 0; i < known; i++)
        if (!strncmp(functions[i].name, name, NAME - 1)) return &functions[i].count;
    if (known < FUNCTIONS - 1) known++;
    snprintf(functions[known - 1].name, NAME, "%s", name);
    return &functions[known - 1].count;
}

static void translated(plugin_id id, struct qemu_plugin_tb *tb) {
    size_t n = qemu_plugin_tb_n_insns(tb);
    // Each instruction by itself: a block may be left in its middle.
    for (size_t i = 0; i < n; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        qemu_plugin_register_vcpu_insn_exec_inline(insn, ADD, &all, 1);
        if (by_function) qemu_plugin_register_vcpu_insn_exec_inline(insn, ADD, counter(qemu_plugin_insn_symbol(insn)), 1);
    }
}

static void ended(plugin_id id, void *unused) {
    FILE *out = fopen(path, "w");
    if (!out) return;
    fprintf(out, "all %llu\n", (unsigned long long)all);
    for (int i = 0; i < known; i++) fprintf(out, "%s %llu\n", functions[i].name, (unsigned long long)functions[i].count);
    fclose(out);
}

__attribute__((visibility("default"))) int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv) {
    for (int i = 0; i < argc; i++) {
        if (!strncmp(argv[i], "out=", 4)) path = strdup(argv[i] + 4);
        if (!strcmp(argv[i], "by=function")) by_function = 1;
    }
    if (!path) return -1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, 0);
    return 0;
}
