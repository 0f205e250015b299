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

/* In a turn: so many vectors, and eight words of each stretch; five cache lines in all. */
#define TURNS 12
#define VECTORS 4
#define VECTOR ((size_t)32)
#define LINE ((size_t)64)

#define TURN (VECTORS * VECTOR + 3 * LINE)
#define FOLDED (TURNS * VECTORS * VECTOR)
#define STRETCH (TURNS * LINE)
#define BLOCK (TURNS * TURN)
_Static_assert(TURN == 5 * LINE, "fetch() fetches what a turn takes");

#define WITH_FOLDING __attribute__((target("avx2,vpclmulqdq,pclmul,sse4.2")))
#define INLINE static inline __attribute__((always_inline)) WITH_FOLDING

/* Powers that step over the vectors of a turn, half a vector, and one to three stretches. */
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

INLINE __m128i fold_halves(__m128i sum, __m128i powers, __m256i next)
{
	sum = fold_half(sum, powers, _mm256_castsi256_si128(next));
	return fold_half(sum, powers, _mm256_extracti128_si256(next, 1));
}

INLINE void fetch(const uint8_t *bytes)
{
	__builtin_prefetch(bytes);
	__builtin_prefetch(bytes + LINE);
	__builtin_prefetch(bytes + 2 * LINE);
	__builtin_prefetch(bytes + 3 * LINE);
	__builtin_prefetch(bytes + 4 * LINE);
}

INLINE void fetch_to_write(const uint8_t *bytes)
{
	__builtin_prefetch(bytes, 1);
	__builtin_prefetch(bytes + LINE, 1);
	__builtin_prefetch(bytes + 2 * LINE, 1);
	__builtin_prefetch(bytes + 3 * LINE, 1);
	__builtin_prefetch(bytes + 4 * LINE, 1);
}

/* One word of each stretch. */
#define STEP(i)                                                         \
	do {                                                            \
		a = _mm_crc32_u64(a, word_at(words + 8 * (i)));           \
		b = _mm_crc32_u64(b, word_at(words + STRETCH + 8 * (i))); \
		c = _mm_crc32_u64(c, word_at(words + 2 * STRETCH + 8 * (i))); \
	} while (0)

/* Written out, because compilers keep sums in memory that are counted through. */
INLINE uint32_t sum_with(uint32_t crc, const uint8_t *bytes, const uint8_t *ahead,
			 const uint8_t *ahead_to, bool to)
{
	const __m256i powers = _mm256_broadcastsi128_si256(
		_mm_set_epi64x((long long)over.vectors[1], (long long)over.vectors[0]));
	const __m128i half = _mm_set_epi64x((long long)over.half[1], (long long)over.half[0]);
	const uint8_t *words = bytes + FOLDED;
	__m256i p = _mm256_xor_si256(vector_at(bytes), _mm256_set_epi64x(0, 0, 0, crc));
	__m256i q = vector_at(bytes + VECTOR);
	__m256i r = vector_at(bytes + 2 * VECTOR);
	__m256i s = vector_at(bytes + 3 * VECTOR);
	uint64_t a = 0, b = 0, c = 0, front;
	__m128i sum;

	for (int turn = 1;; turn++) {
		fetch(ahead);
		if (to)
			fetch_to_write(ahead_to);
		STEP(0);
		STEP(1);
		STEP(2);
		STEP(3);
		STEP(4);
		STEP(5);
		STEP(6);
		STEP(7);
		if (turn == TURNS)
			break;
		words += LINE;
		ahead += TURN;
		if (to)
			ahead_to += TURN;
		bytes += VECTORS * VECTOR;
		p = fold(p, powers, vector_at(bytes));
		q = fold(q, powers, vector_at(bytes + VECTOR));
		r = fold(r, powers, vector_at(bytes + 2 * VECTOR));
		s = fold(s, powers, vector_at(bytes + 3 * VECTOR));
	}
	sum = fold_half(_mm256_castsi256_si128(p), half, _mm256_extracti128_si256(p, 1));
	sum = fold_halves(sum, half, q);
	sum = fold_halves(sum, half, r);
	sum = fold_halves(sum, half, s);
	front = _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(sum));
	front = _mm_crc32_u64(front, (uint64_t)_mm_extract_epi64(sum, 1));
	front = stepped(front, over.stretches[2]) ^ stepped(a, over.stretches[1]) ^
		stepped(b, over.stretches[0]);
	return (uint32_t)(_mm_crc32_u64(0, front) ^ c);
}

WITH_FOLDING static uint32_t sum_block(uint32_t crc, const uint8_t *bytes, const uint8_t *ahead,
				       const uint8_t *ahead_to)
{
	return ahead_to ? sum_with(crc, bytes, ahead, ahead_to, true) :
			  sum_with(crc, bytes, ahead, NULL, false);
}

WITH_FOLDING static void copy_block(uint8_t *to, const uint8_t *from)
{
	for (size_t at = 0; at < BLOCK; at += 4 * VECTOR) {
		__m256i a = vector_at(from + at), b = vector_at(from + at + VECTOR);
		__m256i c = vector_at(from + at + 2 * VECTOR);
		__m256i d = vector_at(from + at + 3 * VECTOR);

		_mm256_storeu_si256((__m256i *)(to + at), a);
		_mm256_storeu_si256((__m256i *)(to + at + VECTOR), b);
		_mm256_storeu_si256((__m256i *)(to + at + 2 * VECTOR), c);
		_mm256_storeu_si256((__m256i *)(to + at + 3 * VECTOR), d);
	}
}
_Static_assert(BLOCK % (4 * VECTOR) == 0, "copy_block() copies four vectors at a time");

bool mc_crc32c_fold_prepare(struct mc_crc32c_way *way)
{
	const uint64_t turn = 8 * VECTORS * VECTOR, stretch = 8 * STRETCH;

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
