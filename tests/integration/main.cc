#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdlib>

#include "support/server_child.h"

int main(int argc, char** argv) {
  // Some tests run this program again as the server.
  if (std::getenv("MESSENGER_TEST_SERVER_CHILD") != nullptr) {
    return messenger::test::RunServerChild();
  }
  return doctest::Context(argc, argv).run();
}
