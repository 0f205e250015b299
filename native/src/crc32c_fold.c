// SPDX-License-Identifier: Apache-2.0
/*
 * CRC-32C of blocks in two ways at once, because they keep different parts of a processor busy: the
 * front is folded with carry-less multiplications, four vectors at a time, and what is behind it is
 * worked on by the CRC instruction in three stretches.
 *
 * Folding is that of Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ
 * Instruction" (Intel, 2009), on reflected bits: a product of two registers stands for that of the
 * polynomials times x, which the powers below make up for.
 */
#include "crc32c.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#define TURNS 15
#define VECTORS 4
#define WORDS 6 /* of each stretch in a turn */

#define FOLDED ((size_t)TURNS * VECTORS * sizeof(__m256i))
#define STRETCH ((size_t)TURNS * WORDS * 8)
#define BLOCK (FOLDED + 3 * STRETCH)
#define CACHE_LINE ((size_t)64)

#define WITH_FOLDING __attribute__((target("avx2,vpclmulqdq,pclmul,sse4.2")))
#define INLINE static inline __attribute__((always_inline)) WITH_FOLDING

/* Powers that step over a turn's vectors, half a vector, and one to three stretches. */
static struct {
	uint64_t vectors[2], half[2], stretches[3];
} over;

INLINE __m256i vector_at(const uint8_t *bytes)
{
	return _mm256_loadu_si256((const __m256i *)bytes);
}

INLINE uint64_t word_at(const uint8_t *bytes)
{
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
	return word;
}

INLINE __m256i fold(__m256i sum, __m256i powers, __m256i next)
{
	__m256i low = _mm256_clmulepi64_epi128(sum, powers, 0x00);
	__m256i high = _mm256_clmulepi64_epi128(sum, powers, 0x11);

	return _mm256_xor_si256(_mm256_xor_si256(low, next), high);
}

INLINE __m128i fold_half(__m128i sum, __m128i powers, __m128i next)
{
	__m128i low = _mm_clmulepi64_si128(sum, powers, 0x00);
	__m128i high = _mm_clmulepi64_si128(sum, powers, 0x11);

	return _mm_xor_si128(_mm_xor_si128(low, next), high);
}

/* A sum that is stepped on by a power, before it is reduced. */
INLINE uint64_t stepped(uint64_t crc, uint64_t power)
{
	__m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)crc),
					       _mm_cvtsi64_si128((long long)power), 0x00);

	return (uint64_t)_mm_cvtsi128_si64(product);
}

/* The sum that all vectors come to. */
INLINE uint64_t reduce(const __m256i *sums)
{
	const __m128i powers = _mm_set_epi64x((long long)over.half[1], (long long)over.half[0]);
	__m128i sum = _mm256_castsi256_si128(sums[0]);
	uint64_t crc;

	sum = fold_half(sum, powers, _mm256_extracti128_si256(sums[0], 1));
	for (int i = 1; i < VECTORS; i++) {
		sum = fold_half(sum, powers, _mm256_castsi256_si128(sums[i]));
		sum = fold_half(sum, powers, _mm256_extracti128_si256(sums[i], 1));
	}
	crc = _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(sum));
	return _mm_crc32_u64(crc, (uint64_t)_mm_extract_epi64(sum, 1));
}

WITH_FOLDING static uint32_t sum_block(uint32_t crc, const uint8_t *bytes, const uint8_t *ahead,
				       const uint8_t *ahead_to)
{
	const __m256i powers = _mm256_set_epi64x(
		(long long)over.vectors[1], (long long)over.vectors[0],
		(long long)over.vectors[1], (long long)over.vectors[0]);
	const uint8_t *words = bytes + FOLDED;
	uint64_t a = 0, b = 0, c = 0;
	__m256i sums[VECTORS];

	for (int i = 0; i < VECTORS; i++)
		sums[i] = vector_at(bytes + i * sizeof(__m256i));
	sums[0] = _mm256_xor_si256(sums[0], _mm256_set_epi64x(0, 0, 0, crc));
	for (int turn = 0;;) {
		for (size_t line = 0; line < BLOCK / TURNS; line += CACHE_LINE)
			__builtin_prefetch(ahead + line);
		ahead += BLOCK / TURNS;
		if (ahead_to) {
			for (size_t line = 0; line < BLOCK / TURNS; line += CACHE_LINE)
				__builtin_prefetch(ahead_to + line, 1);
			ahead_to += BLOCK / TURNS;
		}
		for (int i = 0; i < WORDS; i++) {
			a = _mm_crc32_u64(a, word_at(words + 8 * i));
			b = _mm_crc32_u64(b, word_at(words + STRETCH + 8 * i));
			c = _mm_crc32_u64(c, word_at(words + 2 * STRETCH + 8 * i));
		}
		if (++turn == TURNS)
			break;
		words += 8 * WORDS;
		bytes += VECTORS * sizeof(__m256i);
		for (int i = 0; i < VECTORS; i++)
			sums[i] = fold(sums[i], powers, vector_at(bytes + i * sizeof(__m256i)));
	}
	a = stepped(reduce(sums), over.stretches[2]) ^ stepped(a, over.stretches[1]) ^
	    stepped(b, over.stretches[0]);
	return (uint32_t)(_mm_crc32_u64(0, a) ^ c);
}

WITH_FOLDING static void copy_block(uint8_t *to, const uint8_t *from)
{
	size_t at = 0;

	for (; at + 4 * sizeof(__m256i) <= BLOCK; at += 4 * sizeof(__m256i)) {
		__m256i a = vector_at(from + at), b = vector_at(from + at + 32);
		__m256i c = vector_at(from + at + 64), d = vector_at(from + at + 96);

		_mm256_storeu_si256((__m256i *)(to + at), a);
		_mm256_storeu_si256((__m256i *)(to + at + 32), b);
		_mm256_storeu_si256((__m256i *)(to + at + 64), c);
		_mm256_storeu_si256((__m256i *)(to + at + 96), d);
	}
	memcpy(to + at, from + at, BLOCK - at);
}

bool mc_crc32c_fold_prepare(struct mc_crc32c_way *way)
{
	const uint64_t turn = 8 * VECTORS * sizeof(__m256i), stretch = 8 * STRETCH;

	if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("vpclmulqdq") ||
	    !__builtin_cpu_supports("pclmul") || !__builtin_cpu_supports("sse4.2"))
		return false;
	over.vectors[0] = (uint64_t)mc_crc32c_power(turn + 63) << 32;
	over.vectors[1] = (uint64_t)mc_crc32c_power(turn - 1) << 32;
	over.half[0] = (uint64_t)mc_crc32c_power(128 + 63) << 32;
	over.half[1] = (uint64_t)mc_crc32c_power(128 - 1) << 32;
	for (int i = 0; i < 3; i++)
		over.stretches[i] = mc_crc32c_power((uint64_t)(i + 1) * stretch - 33);
	way->name = "folding";
	way->block = BLOCK;
	way->sum = sum_block;
	way->copy = copy_block;
	return true;
}
#endif
