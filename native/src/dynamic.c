// SPDX-License-Identifier: Apache-2.0
#include "dynamic.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

int mc_dynamic_load(const char *library, const struct mc_symbol *symbols, size_t count, void *calls,
		    char *why, size_t size)
{
	void *loaded = dlopen(library, RTLD_NOW | RTLD_LOCAL);

	if (!loaded) {
		snprintf(why, size, "%s cannot be loaded", library);
		return -ENODEV;
	}
	for (size_t i = 0; i < count; i++) {
		void *function = dlsym(loaded, symbols[i].name);

		if (!function && !symbols[i].optional) {
			snprintf(why, size, "%s is too old: it has no %s", library,
				 symbols[i].name);
			dlclose(loaded);
			return -ENODEV;
		}
		memcpy((char *)calls + symbols[i].offset, &function, sizeof(function));
	}
	return 0;
}
