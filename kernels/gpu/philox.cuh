// Philox4x32-10: four random words from a counter and a key, with no state to keep or to share.
//
// Ten rounds of two 32 x 32 -> 64 bit products, which a GPU has an instruction for: about 100
// integer instructions per four words. Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers:
// as easy as 1, 2, 3", section 3.3. The words are those of kernels/reference/dropout.py, bit by
// bit.

#pragma once

struct Words {
    unsigned int w[4];
};

// Return block number `block` of the stream (seed, offset).
__device__ inline Words philox(
    unsigned long long block, unsigned long long seed, unsigned long long offset) {
    unsigned int c0 = (unsigned int)block, c1 = (unsigned int)(block >> 32);
    unsigned int c2 = (unsigned int)offset, c3 = (unsigned int)(offset >> 32);
    unsigned int k0 = (unsigned int)seed, k1 = (unsigned int)(seed >> 32);
    for (int round = 0; round < 10; ++round) {
        unsigned long long product0 = (unsigned long long)c0 * 0xD2511F53u;
        unsigned long long product2 = (unsigned long long)c2 * 0xCD9E8D57u;
        c0 = (unsigned int)(product2 >> 32) ^ c1 ^ k0;
        c1 = (unsigned int)product2;
        c2 = (unsigned int)(product0 >> 32) ^ c3 ^ k1;
        c3 = (unsigned int)product0;
        k0 += 0x9E3779B9u;  // the fractions of the golden ratio and of sqrt(3)
        k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
}
