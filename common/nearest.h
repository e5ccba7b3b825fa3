/*
 * Which of some known names somebody meant who wrote another one.
 *
 * Two names are near when few letters have to be changed, put in, left out or swapped with their neighbour
 * (the optimal string alignment distance): a third of the word's length at most.
 */
#ifndef HUBBUB_COMMON_NEAREST_H
#define HUBBUB_COMMON_NEAREST_H

enum { NEAREST_WORD_MAX = 63 }; /* longer words have nothing that is near */

struct nearest {
    const char *word;
    const char *best;
    unsigned distance;
};

/* word is borrowed as long as names are offered. */
void nearest_init(struct nearest *nearest, const char *word);

/* Borrowed until the answer was used.  Of equally near names the first stays.  - and _ are the same. */
void nearest_offer(struct nearest *nearest, const char *name);

/* The nearest of the offered names, or NULL when none is near. */
const char *nearest_found(const struct nearest *nearest);

#endif
