// SPDX-License-Identifier: Apache-2.0
/*
 * Tests of the library from inside, for builds with sanitizers; tests/native/ compiles and
 * runs them. With names as arguments only those groups run.
 */
#include <string.h>

#include "check.h"

struct mc_engine;
void (*pair_secure)(struct mc_engine *engine);

static const struct {
	const char *name;
	void (*run)(void);
} groups[] = {
	{ "slots", test_slots },
	{ "spin", test_spin },
	{ "engine", test_engine },
	{ "stress", test_stress },
	{ "fuzz", test_fuzz },
	{ "crc32c", test_crc32c },
	{ "disk", test_disk },
	{ "tail", test_tail },
	{ "fence", test_fence },
	{ "relay", test_relay },
	{ "shm", test_shm },
	{ "placement", test_placement },
	{ "verbs", test_verbs },
	{ "fabric", test_fabric },
	{ "plugin", test_plugin },
	{ "rate", test_rate },
	{ "spread", test_spread },
	{ "rpc_client", test_rpc_client },
	{ "files", test_files },
	{ "device", test_device },
	{ "device_region", test_device_region },
	{ "tls", test_tls },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		int wanted = argc == 1;

		for (int k = 1; k < argc; k++)
			wanted |= strcmp(argv[k], groups[i].name) == 0;
		if (!wanted)
			continue;
		groups[i].run();
		printf("ok %s\n", groups[i].name);
		fflush(stdout); /* a child of a later group has no copy of it */
	}
	return 0;
}
