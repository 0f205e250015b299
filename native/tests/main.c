// SPDX-License-Identifier: Apache-2.0
/*
 * Tests of the library from inside, for builds with sanitizers; tests/native/ compiles and
 * runs them. With a name as argument only that group runs.
 */
#include <string.h>

#include "check.h"

static const struct {
	const char *name;
	void (*run)(void);
} groups[] = {
	{ "slots", test_slots },
	{ "engine", test_engine },
	{ "stress", test_stress },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		if (argc > 1 && strcmp(argv[1], groups[i].name) != 0)
			continue;
		groups[i].run();
		printf("ok %s\n", groups[i].name);
	}
	return 0;
}
