// Tensor cores: a warp multiplies a 16x8 by an 8x8 matrix in one instruction (mma.sync, sm_80).
//
// The inputs are TF32: float32 with 10 bits of the fraction instead of 23, so each is off by up to
// 2^-11 of itself; products and sums are float32. The matrices are spread over the 32 lanes. With
// g = lane / 4 and t = lane % 4, a lane holds
//
//     a[0] (row g, column t)   a[1] (g + 8, t)   a[2] (g, t + 4)   a[3] (g + 8, t + 4)
//     b[0] (row t, column g)   b[1] (t + 4, g)
//     d[0] (row g, column 2t)  d[1] (g, 2t + 1)  d[2] (g + 8, 2t)  d[3] (g + 8, 2t + 1)
//
// as NVIDIA's PTX ISA manual draws it, section "Matrix fragments for mma.m16n8k8". On the host the
// lanes look at what the others hold and add the same products up, in the order of k; in which order
// tensor cores do it is not told. Older GPUs than sm_80 have no TF32, and are never asked to come here.
#pragma once

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
#define MINICNN_TENSOR_CORES 1
#endif

// x rounded to TF32, to nearest, ties away from zero.
__device__ inline float to_tf32(float x) {
#ifdef MINICNN_TENSOR_CORES
    unsigned bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return __uint_as_float(bits & 0xffffe000u);  // the manual does not say what the other 13 bits are
#else
    return x == x ? __uint_as_float((__float_as_uint(x) + 0x1000u) & 0xffffe000u) : x;
#endif
}

// d += a b. All 32 lanes of the warp have to come here together: `volatile` keeps the compiler from
// moving the instruction into a branch behind it, where the sums are stored, that some lanes skip.
__device__ inline void mma(float (&d)[4], const float (&a)[4], const float (&b)[2]) {
#if defined(MINICNN_TENSOR_CORES)
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])),
          "r"(__float_as_uint(a[3])), "r"(__float_as_uint(b[0])), "r"(__float_as_uint(b[1])));
#elif defined(MINICNN_HOST)
    struct Held {
        float a[4], b[2];
    } mine = {{a[0], a[1], a[2], a[3]}, {b[0], b[1]}}, all[32];
    host_warp_gather(all, mine);
    int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    for (int i = 0; i < 4; ++i)  // row g + i / 2 * 8, column 2t + i % 2
        for (int k = 0; k < 8; ++k)
            d[i] += all[4 * g + k % 4].a[i / 2 + k / 4 * 2] *
                    all[4 * (2 * t + i % 2) + k % 4].b[k / 4];
#else
    __trap();
#endif
}
