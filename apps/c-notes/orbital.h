/* The system calls that this app uses, as wit/kernel.wit states them and the canonical ABI of
 * WebAssembly components passes them: a `list` as pointer and length, a result that is more than a
 * number through a pointer to where it is to be written. The others follow the same rules.
 *
 * A `result<T, error>` is a byte, 0 for ok and 1 for an error, and behind it, where T is aligned, T or the
 * error's number (its place in `enum error`, from 0). A record is laid out as C lays out a struct. */
#ifndef ORBITAL_H
#define ORBITAL_H

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define KERNEL(name) __attribute__((import_module("orbital:kernel/calls@0.1.0"), import_name(name)))

#define FOREVER (~0ull)

/* Places in `enum error` that this app tells apart. */
enum { WOULD_BLOCK = 7 };

struct list {
    const u8 *bytes;
    u32 length;
};

/* result<_, error> */
struct outcome {
    u8 is_error;
    u8 error;
};

/* result<u64, error> */
struct number {
    u8 is_error;
    union {
        u8 error;
        u64 value;
    };
};

/* result<list<u8>, error> */
struct bytes {
    u8 is_error;
    union {
        u8 error;
        struct list list;
    };
};

/* result<delivery, error> */
struct answer {
    u8 is_error;
    union {
        u8 error;
        struct {
            u8 kind;
            u8 capabilities;
            u32 length;
            u64 badge;
            u64 tag;
            u64 reply;
            u64 words[8];
        };
    };
};

/* result<completion, error> */
struct completed {
    u8 is_error;
    union {
        u8 error;
        struct {
            u64 request;
            u8 status;
            u32 length;
        };
    };
};

KERNEL("startup") void kernel_startup(struct bytes *result);
KERNEL("call-with")
void kernel_call_with(u64 endpoint, u64 timeout, u64 tag, u64 w0, u64 w1, u64 w2, u64 w3, u64 w4, u64 w5, u64 w6, u64 w7,
                      const u8 *bytes, u32 length, const void *transfers, u32 count, struct answer *result);
KERNEL("take-bytes") void kernel_take_bytes(struct list *result);
KERNEL("device-submit")
void kernel_device_submit(u64 device, u32 operation, u64 a, u64 b, const u8 *bytes, u32 length, struct number *result);
KERNEL("device-complete") void kernel_device_complete(u64 device, struct completed *result);
KERNEL("yield") void kernel_yield(void);
KERNEL("exit") void kernel_exit(u64 code);

#endif
