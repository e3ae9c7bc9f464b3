/* Loads the plugins that it is given, one after the other, and runs each of them:
   its main. */
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    void* const plugin = dlopen(argv[i], RTLD_NOW | RTLD_LOCAL);
    if (plugin == NULL) {
      fprintf(stderr, "%s\n", dlerror());
      return 1;
    }
    int (*run)(void) = NULL;
    *(void**)&run = dlsym(plugin, "main");
    if (run == NULL || run() != 0) {
      fprintf(stderr, "%s: failed\n", argv[i]);
      return 1;
    }
  }
  return 0;
}
