/* Tabular rollouts and reward-to-go weights in C: the yardstick of the comparison.

   W(s_t,a_t) += sum over k >= t of gamma^k r_k,   t = 0, ..., horizon - 1,   every trajectory

   plain     one trajectory at a time, search of cumulative distributions
   lockstep  the algorithm of pgbench: LANES trajectories at a time, one alias draw per step from
             the outcomes (a, k) of a state, whose row is asked for a step ahead
   two_draws LANES trajectories at a time, an alias draw for the action and one for its slot; the
             compiler vectorises the arithmetic
   avx512    two_draws by hand, with gathers; WIDE trajectories at a time

   An alias table packs alias << 32 | threshold per entry; aliases are indices into the whole table.
   Random numbers are xoshiro256++ (Blackman & Vigna 2021), one stream per trajectory, its state four
   outputs of SplitMix64; a step takes one word. Of two draws the high half is for the action and the
   low half for the successor. n trajectories are simulated, beginning with number first; they take
   multiples of LANES or WIDE. A row of a cumulative table ends with 1. */

#include <stdint.h>
#include <stdlib.h>

#ifndef LANES
#define LANES 16
#endif
#define LOW 0xFFFFFFFFu

typedef struct {
    double reward;
    int64_t successor;
} outcome;

typedef struct {
    int64_t n_states, n_actions, n_slots;
    const uint64_t *start, *action, *slot;           /* alias tables (S,), (S,A), (S,A,B) */
    const double *start_cdf, *action_cdf, *slot_cdf; /* the same distributions, cumulative */
    const outcome *outcomes;                         /* (S,A,B) */
    const uint64_t *step;       /* (S,A*B) threshold << 32 | alias in the row << bits | successor */
    const double *reward;       /* (S,A) */
    int64_t bits;
    double gamma;
    int64_t horizon;
} problem;

static inline uint64_t splitmix64(uint64_t x)
{
    x *= 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

static inline uint64_t rotl(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

/* Four words of SplitMix64 per trajectory, started at a hash of the seed. */
static inline uint64_t seed_word(uint64_t seed, uint64_t trajectory, uint64_t word)
{
    return splitmix64(splitmix64(seed + 1) + 4 * trajectory + word + 1);
}

/* gamma^0, ..., gamma^(horizon-1) */
static double *powers(double gamma, int64_t horizon)
{
    double *power = malloc(horizon * sizeof *power), p = 1;
    for (int64_t t = 0; t < horizon; t++, p *= gamma)
        power[t] = p;
    return power;
}

/* ---------------------------------------------------------------- plain */

static inline uint64_t next(uint64_t s[4])
{
    uint64_t word = rotl(s[0] + s[3], 23) + s[0], t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return word;
}

static inline double uniform(uint64_t s[4]) { return (next(s) >> 11) * 0x1p-53; }

static inline int64_t search(const double *cdf, int64_t n, double u)
{
    int64_t k = 0;
    while (k < n - 1 && u >= cdf[k])
        k++;
    return k;
}

static inline int64_t bisect(const double *cdf, int64_t n, double u)
{
    int64_t low = 0, high = n - 1;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (u >= cdf[middle])
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void plain(const problem *m, uint64_t seed, int64_t first, int64_t n, double *restrict W)
{
    const int64_t A = m->n_actions, B = m->n_slots, H = m->horizon;
    double *power = powers(m->gamma, H), *reward = malloc(H * sizeof *reward);
    int64_t *pair = malloc(H * sizeof *pair);
    for (int64_t i = first; i < first + n; i++) {
        uint64_t s[4];
        for (int j = 0; j < 4; j++)
            s[j] = seed_word(seed, i, j);
        int64_t state = bisect(m->start_cdf, m->n_states, uniform(s));
        for (int64_t t = 0; t < H; t++) {
            int64_t p = state * A + search(m->action_cdf + state * A, A, uniform(s));
            int64_t k = p * B + search(m->slot_cdf + p * B, B, uniform(s));
            pair[t] = p;
            reward[t] = m->outcomes[k].reward;
            state = m->outcomes[k].successor;
        }
        double x = 0;
        for (int64_t t = H - 1; t >= 0; t--) {
            x += power[t] * reward[t];
            W[pair[t]] += x;
        }
    }
    free(power);
    free(reward);
    free(pair);
}

/* ------------------------------------------------------------ two draws */

typedef struct {
    uint64_t s0[LANES], s1[LANES], s2[LANES], s3[LANES];
} generator;

static inline void seed_lanes(generator *restrict g, uint64_t seed, int64_t first)
{
    for (int l = 0; l < LANES; l++) {
        g->s0[l] = seed_word(seed, first + l, 0);
        g->s1[l] = seed_word(seed, first + l, 1);
        g->s2[l] = seed_word(seed, first + l, 2);
        g->s3[l] = seed_word(seed, first + l, 3);
    }
}

static inline void next_words(generator *restrict g, uint64_t *restrict word)
{
    for (int l = 0; l < LANES; l++) {
        uint64_t s0 = g->s0[l], s1 = g->s1[l], s2 = g->s2[l], s3 = g->s3[l];
        word[l] = rotl(s0 + s3, 23) + s0;
        s2 ^= s0;
        s3 ^= s1;
        g->s1[l] = s1 ^ s2;
        g->s0[l] = s0 ^ s3;
        g->s2[l] = s2 ^ (s1 << 17);
        g->s3[l] = rotl(s3, 45);
    }
}

/* Indices drawn from rows of n entries that begin at first, with 32-bit uniforms u. */
static inline void draw(const uint64_t *restrict table, uint64_t n, const uint64_t *restrict first,
                        const uint64_t *restrict u, uint64_t *restrict index)
{
    uint64_t fraction[LANES], entry[LANES];
    for (int l = 0; l < LANES; l++) {
        uint64_t x = u[l] * n;
        index[l] = first[l] + (x >> 32);
        fraction[l] = x & LOW;
    }
    for (int l = 0; l < LANES; l++)
        entry[l] = table[index[l]];
    for (int l = 0; l < LANES; l++)
        index[l] = fraction[l] < (entry[l] & LOW) ? index[l] : entry[l] >> 32;
}

void two_draws(const problem *m, uint64_t seed, int64_t first, int64_t n, double *restrict W)
{
    const int64_t H = m->horizon;
    const uint64_t A = m->n_actions, B = m->n_slots;
    const outcome *restrict outcomes = m->outcomes;
    double *power = powers(m->gamma, H);
    uint32_t(*restrict pair)[LANES] = malloc(H * sizeof *pair);
    double(*restrict reward)[LANES] = malloc(H * sizeof *reward);
    generator g;
    uint64_t word[LANES], high[LANES], low[LANES], row[LANES], p[LANES], k[LANES];
    for (int64_t i = first; i < first + n; i += LANES) {
        seed_lanes(&g, seed, i);
        next_words(&g, word);
        for (int l = 0; l < LANES; l++) {
            uint64_t x = (word[l] >> 32) * m->n_states, entry = m->start[x >> 32];
            row[l] = ((word[l] & LOW) < (entry >> 32) ? x >> 32 : entry & LOW) * A;
        }
        for (int64_t t = 0; t < H; t++) {
            next_words(&g, word);
            for (int l = 0; l < LANES; l++) {
                high[l] = word[l] >> 32;
                low[l] = word[l] & LOW;
            }
            draw(m->action, A, row, high, p);
            for (int l = 0; l < LANES; l++) {
                pair[t][l] = p[l];
                row[l] = p[l] * B;
            }
            draw(m->slot, B, row, low, k);
            for (int l = 0; l < LANES; l++) {
                reward[t][l] = outcomes[k[l]].reward;
                row[l] = outcomes[k[l]].successor * A;
            }
        }
        double x[LANES] = {0};
        for (int64_t t = H - 1; t >= 0; t--) {
            for (int l = 0; l < LANES; l++)
                x[l] += power[t] * reward[t][l];
            for (int l = 0; l < LANES; l++)
                W[pair[t][l]] += x[l];
        }
    }
    free(power);
    free(pair);
    free(reward);
}

/* ------------------------------------------------------------- lockstep */

void lockstep(const problem *m, uint64_t seed, int64_t first, int64_t n, double *restrict W)
{
    const int64_t H = m->horizon;
    const uint64_t B = m->n_slots, N = m->n_actions * B, bits = m->bits;
    const uint64_t successors = ((uint64_t)1 << bits) - 1;
    const uint64_t *restrict step = m->step;
    const double *restrict reward = m->reward;
    double *power = powers(m->gamma, H);
    uint32_t(*restrict slot)[LANES] = malloc(H * sizeof *slot);
    generator g;
    uint64_t word[LANES], low[LANES], row[LANES], index[LANES];
    for (int64_t i = first; i < first + n; i += LANES) {
        seed_lanes(&g, seed, i);
        next_words(&g, word);
        for (int l = 0; l < LANES; l++) {
            uint64_t k = (word[l] >> 32) * m->n_states >> 32, entry = m->start[k];
            row[l] = ((word[l] & LOW) < entry >> 32 ? k : entry & LOW) * N;
        }
        next_words(&g, word);
        for (int l = 0; l < LANES; l++)
            index[l] = row[l] + ((word[l] >> 32) * N >> 32);
        for (int64_t t = 0; t < H; t++) {
            for (int l = 0; l < LANES; l++)
                low[l] = word[l] & LOW;
            next_words(&g, word);
            for (int l = 0; l < LANES; l++) {
                uint64_t entry = step[index[l]], other = row[l] + ((entry & LOW) >> bits);
                uint64_t taken = low[l] < entry >> 32 ? index[l] : other;
                slot[t][l] = taken;
                row[l] = (step[taken] & successors) * N;
                index[l] = row[l] + ((word[l] >> 32) * N >> 32);
                __builtin_prefetch(step + index[l]);
            }
        }
        double x[LANES] = {0};
        for (int64_t t = H - 1; t >= 0; t--) {
            uint32_t pair[LANES];
            for (int l = 0; l < LANES; l++)
                pair[l] = slot[t][l] / (uint32_t)B;
            for (int l = 0; l < LANES; l++)
                x[l] += power[t] * reward[pair[l]];
            for (int l = 0; l < LANES; l++)
                W[pair[l]] += x[l];
        }
    }
    free(power);
    free(slot);
}

/* --------------------------------------------------------------- avx512 */

#if defined(__AVX512F__) && defined(__AVX512DQ__)
#include <immintrin.h>

#define GROUPS 2
#define WIDE (8 * GROUPS)

int has_avx512(void) { return 1; }

/* As draw above, eight lanes at a time. */
static inline __m512i draw8(const uint64_t *table, __m512i n, __m512i first, __m512i u)
{
    const __m512i low = _mm512_set1_epi64(LOW);
    __m512i x = _mm512_mul_epu32(u, n);
    __m512i index = _mm512_add_epi64(first, _mm512_srli_epi64(x, 32));
    __m512i entry = _mm512_i64gather_epi64(index, table, 8);
    __mmask8 keep = _mm512_cmplt_epu64_mask(_mm512_and_si512(x, low), _mm512_and_si512(entry, low));
    return _mm512_mask_blend_epi64(keep, _mm512_srli_epi64(entry, 32), index);
}

void avx512(const problem *m, uint64_t seed, int64_t first, int64_t n, double *restrict W)
{
    const int64_t H = m->horizon;
    const __m512i A = _mm512_set1_epi64(m->n_actions), B = _mm512_set1_epi64(m->n_slots);
    double *power = powers(m->gamma, H);
    uint32_t(*restrict pair)[WIDE] = malloc(H * sizeof *pair);
    __m512d(*restrict reward)[GROUPS] = aligned_alloc(64, H * sizeof *reward);
    for (int64_t i = first; i < first + n; i += WIDE) {
        __m512i s0[GROUPS], s1[GROUPS], s2[GROUPS], s3[GROUPS], row[GROUPS];
        for (int v = 0; v < GROUPS; v++) {
            uint64_t s[4][8], begin[8];
            for (int l = 0; l < 8; l++) {
                uint64_t lane[4];
                for (int j = 0; j < 4; j++)
                    lane[j] = seed_word(seed, i + 8 * v + l, j);
                uint64_t word = next(lane);
                uint64_t x = (word >> 32) * m->n_states, entry = m->start[x >> 32];
                begin[l] = ((word & LOW) < (entry >> 32) ? x >> 32 : entry & LOW) * m->n_actions;
                for (int j = 0; j < 4; j++)
                    s[j][l] = lane[j];
            }
            s0[v] = _mm512_loadu_si512(s[0]);
            s1[v] = _mm512_loadu_si512(s[1]);
            s2[v] = _mm512_loadu_si512(s[2]);
            s3[v] = _mm512_loadu_si512(s[3]);
            row[v] = _mm512_loadu_si512(begin);
        }
        for (int64_t t = 0; t < H; t++)
            for (int v = 0; v < GROUPS; v++) {
                __m512i word = _mm512_add_epi64(
                    _mm512_rol_epi64(_mm512_add_epi64(s0[v], s3[v]), 23), s0[v]);
                __m512i shifted = _mm512_slli_epi64(s1[v], 17);
                s2[v] = _mm512_xor_si512(s2[v], s0[v]);
                s3[v] = _mm512_xor_si512(s3[v], s1[v]);
                s1[v] = _mm512_xor_si512(s1[v], s2[v]);
                s0[v] = _mm512_xor_si512(s0[v], s3[v]);
                s2[v] = _mm512_xor_si512(s2[v], shifted);
                s3[v] = _mm512_rol_epi64(s3[v], 45);

                __m512i p = draw8(m->action, A, row[v], _mm512_srli_epi64(word, 32));
                __m512i k = draw8(m->slot, B, _mm512_mul_epu32(p, B), word);
                const double *outcomes = (const double *)m->outcomes;
                k = _mm512_slli_epi64(k, 1);
                _mm256_storeu_si256((__m256i *)(pair[t] + 8 * v), _mm512_cvtepi64_epi32(p));
                reward[t][v] = _mm512_i64gather_pd(k, outcomes, 8);
                row[v] = _mm512_mul_epu32(_mm512_i64gather_epi64(k, outcomes + 1, 8), A);
            }
        __m512d x[GROUPS];
        for (int v = 0; v < GROUPS; v++)
            x[v] = _mm512_setzero_pd();
        for (int64_t t = H - 1; t >= 0; t--)
            for (int v = 0; v < GROUPS; v++) {
                x[v] = _mm512_fmadd_pd(_mm512_set1_pd(power[t]), reward[t][v], x[v]);
                for (int l = 0; l < 8; l++)
                    W[pair[t][8 * v + l]] += x[v][l];
            }
    }
    free(power);
    free(pair);
    free(reward);
}
#else
int has_avx512(void) { return 0; }
#endif
