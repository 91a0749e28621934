// CUDA C for the host compiler: what a kernel may use, in C++ that runs it thread after thread.
// The threads are fibers of runtime.cpp. Included before a .cu file, outside its namespace.
#pragma once
#include <cfloat>
#include <climits>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
// One section holds all shared arrays of a file, so that the runtime can poison them at once.
// `extern __shared__` is rewritten by host_driver.py before the compiler sees it.
#define __shared__ static __attribute__((section("minicnn_shared")))

struct uint3 { unsigned x, y, z; };
using dim3 = uint3;

extern "C" {
extern uint3 threadIdx, blockIdx, blockDim, gridDim;
void host_barrier(int line);
const char *host_exchange(unsigned mask, const void *mine, size_t size, int line);
void *host_dynamic_shared();
[[noreturn]] void host_fail(const char *format, ...);
int host_run(void (*kernel)(void **), void **args, const unsigned *sizes, void *shared,
             size_t shared_size, size_t dynamic_size, unsigned seed, char *message, size_t room);
}

constexpr int warpSize = 32;
constexpr size_t HOST_LANE = 64;  // bytes that a lane may pass to the others of its warp

#define __syncthreads() host_barrier(__LINE__)
#define __syncwarp host_sync_warp{__LINE__}
#define __shfl_sync(...) host_shfl(__LINE__, __VA_ARGS__)
#define __shfl_up_sync(...) host_shfl_up(__LINE__, __VA_ARGS__)
#define __shfl_down_sync(...) host_shfl_down(__LINE__, __VA_ARGS__)
#define __shfl_xor_sync(...) host_shfl_xor(__LINE__, __VA_ARGS__)
#define __ballot_sync(...) host_ballot(__LINE__, __VA_ARGS__)
#define __any_sync(mask, p) (host_ballot(__LINE__, mask, p) != 0u)
#define __all_sync(mask, p) (host_ballot(__LINE__, mask, p) == (mask))

inline unsigned host_lane() {
    return (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % 32;
}
struct host_sync_warp {
    int line;
    void operator()(unsigned mask = 0xffffffffu) const { host_exchange(mask, nullptr, 0, line); }
};
// All lanes' values at once; what a warp-wide instruction such as mma.sync is written with.
// Lanes outside the mask hold rubbish.
template <class T> void host_warp_gather(T (&all)[32], const T &mine, unsigned mask = 0xffffffffu) {
    static_assert(sizeof(T) <= HOST_LANE && std::is_trivially_copyable<T>::value);
    const char *lanes = host_exchange(mask, &mine, sizeof(T), -1);
    for (int i = 0; i < 32; ++i) std::memcpy(&all[i], lanes + i * HOST_LANE, sizeof(T));
}
template <class T> T host_read(int line, unsigned mask, T mine, int source, int width, bool own) {
    static_assert(sizeof(T) <= HOST_LANE);
    const char *lanes = host_exchange(mask, &mine, sizeof(T), line);
    if (own) return mine;
    if (!(mask >> source & 1u)) host_fail("line %d: a shuffle reads lane %d, not in its mask", line, source);
    T value;
    std::memcpy(&value, lanes + source * HOST_LANE, sizeof(T));
    return value;
}
template <class T> T host_shfl(int line, unsigned mask, T v, int from, int width = 32) {
    const int start = (int)host_lane() / width * width;
    return host_read(line, mask, v, start + (from & (width - 1)), width, false);
}
template <class T> T host_shfl_up(int line, unsigned mask, T v, unsigned by, int width = 32) {
    const int lane = (int)host_lane(), from = lane - (int)by, start = lane / width * width;
    return host_read(line, mask, v, from, width, from < start);
}
template <class T> T host_shfl_down(int line, unsigned mask, T v, unsigned by, int width = 32) {
    const int lane = (int)host_lane(), from = lane + (int)by, end = (lane / width + 1) * width;
    return host_read(line, mask, v, from, width, from >= end);
}
template <class T> T host_shfl_xor(int line, unsigned mask, T v, int by, int width = 32) {
    const int lane = (int)host_lane(), from = lane ^ by, end = (lane / width + 1) * width;
    return host_read(line, mask, v, from, width, from >= end);
}
inline unsigned host_ballot(int line, unsigned mask, int predicate) {
    const char *lanes = host_exchange(mask, &predicate, sizeof predicate, line);
    unsigned result = 0;
    for (int i = 0; i < 32; ++i) {
        int p;
        std::memcpy(&p, lanes + i * HOST_LANE, sizeof p);
        if (mask >> i & 1u && p) result |= 1u << i;
    }
    return result;
}

inline void __threadfence() {}
inline void __threadfence_block() {}
template <class T> T __ldg(const T *p) { return *p; }
template <class T> T atomicAdd(T *p, T v) {
    static_assert(std::is_integral<T>::value, "sums of floats by atomics differ from run to run");
    const T old = *p;
    *p = old + v;
    return old;
}

// ------------------------------------------------------------------------------ vectors

#define HOST_VECTORS(T, name)                                                                     \
    struct __align__(2 * sizeof(T)) name##2 { T x, y; };                                          \
    struct name##3 { T x, y, z; };                                                                \
    struct __align__(4 * sizeof(T) > 16 ? 16 : 4 * sizeof(T)) name##4 { T x, y, z, w; };          \
    inline name##2 make_##name##2(T x, T y) { return {x, y}; }                                    \
    inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }                            \
    inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
HOST_VECTORS(float, float)
HOST_VECTORS(double, double)
HOST_VECTORS(int, int)
#undef HOST_VECTORS
struct __align__(8) uint2 { unsigned x, y; };
struct __align__(16) uint4 { unsigned x, y, z, w; };
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

// ------------------------------------------------------------------------------ numbers

using std::abs, std::ceil, std::erf, std::exp, std::exp2, std::expm1, std::fabs, std::floor;
using std::fma, std::fmax, std::fmin, std::isfinite, std::isinf, std::isnan, std::log, std::log1p;
using std::log2, std::pow, std::rint, std::round, std::sqrt, std::tanh, std::trunc;

template <class A, class B> constexpr std::common_type_t<A, B> min(A a, B b) { return b < a ? b : a; }
template <class A, class B> constexpr std::common_type_t<A, B> max(A a, B b) { return a < b ? b : a; }
inline float min(float a, float b) { return std::fmin(a, b); }
inline float max(float a, float b) { return std::fmax(a, b); }
inline double min(double a, double b) { return std::fmin(a, b); }
inline double max(double a, double b) { return std::fmax(a, b); }
inline float rsqrt(float x) { return 1 / std::sqrt(x); }
inline double rsqrt(double x) { return 1 / std::sqrt(x); }
inline float rsqrtf(float x) { return 1 / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dsub_rn(double a, double b) { return a - b; }
inline double __ddiv_rn(double a, double b) { return a / b; }
inline double __dsqrt_rn(double a) { return std::sqrt(a); }

template <class To, class From> To host_bits(From x) {
    static_assert(sizeof(To) == sizeof(From));
    To y;
    std::memcpy(&y, &x, sizeof y);
    return y;
}
inline float __int_as_float(int x) { return host_bits<float>(x); }
inline float __uint_as_float(unsigned x) { return host_bits<float>(x); }
inline int __float_as_int(float x) { return host_bits<int>(x); }
inline unsigned __float_as_uint(float x) { return host_bits<unsigned>(x); }
inline double __longlong_as_double(long long x) { return host_bits<double>(x); }
inline long long __double_as_longlong(double x) { return host_bits<long long>(x); }
inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned long long)a * b >> 32; }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }

// ------------------------------------------------------------------------------ launches

extern "C" char __start_minicnn_shared[] __attribute__((weak, visibility("hidden")));
extern "C" char __stop_minicnn_shared[] __attribute__((weak, visibility("hidden")));

template <class... A, size_t... I>
void host_call(void (*kernel)(A...), void **args, std::index_sequence<I...>) {
    kernel(*static_cast<std::remove_cv_t<A> *>(args[I])...);
}
template <class... A> void host_call(void (*kernel)(A...), void **args) {
    host_call(kernel, args, std::index_sequence_for<A...>{});
}
#define HOST_ENTRY(kernel)                                                                         \
    extern "C" int host_entry_##kernel(void **args, const unsigned *sizes, size_t dynamic,         \
                                       unsigned seed, char *message, size_t room) {                \
        char *start = __start_minicnn_shared, *stop = __stop_minicnn_shared;                       \
        return host_run([](void **a) { host_call(kernel, a); }, args, sizes, start,                \
                        start ? (size_t)(stop - start) : 0, dynamic, seed, message, room);         \
    }
