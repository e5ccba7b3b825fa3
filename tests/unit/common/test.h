/* cmocka with the headers it wants first; for the tests of common/. */
#ifndef HUBBUB_TESTS_UNIT_COMMON_TEST_H
#define HUBBUB_TESTS_UNIT_COMMON_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
