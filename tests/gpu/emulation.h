// CUDA on one processor, for tests: the threads of a block are fibres that take turns at __syncthreads, in order.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>
#include <vector>

#define __device__ static
#define __global__
#define __shared__ static
#define __restrict__

struct float2 { float x, y; };
struct double2 { double x, y; };
struct Place { unsigned x, y, z; };
static Place threadIdx, blockIdx, blockDim, gridDim;

namespace fibres {
struct Fibre { ucontext_t context; std::vector<char> stack; Place place; bool done; };
static ucontext_t caller;
static Fibre* current;
static void (*body)(void**);
static void** arguments;

static void entry() {
    body(arguments);
    current->done = true;
    swapcontext(&current->context, &caller);
}

// 0, or 1 where some threads of a block had ended while others waited for them.
static int run(void (*kernel)(void**), int blocks, int width, int lanes, void** given) {
    body = kernel, arguments = given;
    blockDim = {(unsigned)width, (unsigned)lanes, 1}, gridDim = {(unsigned)blocks, 1, 1};
    std::vector<Fibre> fibres(width * lanes);
    for (auto& one : fibres) one.stack.resize(1 << 16);
    for (int block = 0; block < blocks; block++) {
        blockIdx = {(unsigned)block, 0, 0};
        for (int number = 0; number < width * lanes; number++) {
            Fibre& one = fibres[number];
            one.place = {(unsigned)(number % width), (unsigned)(number / width), 0}, one.done = false;
            getcontext(&one.context);
            one.context.uc_stack.ss_sp = one.stack.data(), one.context.uc_stack.ss_size = one.stack.size();
            makecontext(&one.context, entry, 0);
        }
        for (size_t ended = 0; ended < fibres.size();) {
            ended = 0;
            for (auto& one : fibres) {
                current = &one, threadIdx = one.place;
                if (!one.done) swapcontext(&caller, &one.context);
                ended += one.done;
            }
            if (ended && ended < fibres.size()) return 1;
        }
    }
    return 0;
}
}

static void __syncthreads() {
    fibres::Fibre* own = fibres::current;
    swapcontext(&own->context, &fibres::caller);
}

template <class T> static T atomicAdd(T* place, T x) {
    T before = *place;
    *place = before + x;
    return before;
}
