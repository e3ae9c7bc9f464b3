#include "apps/common/option_names.h"

#include <doctest/doctest.h>

namespace messenger::app::option_names_test {
namespace {

TEST_CASE("option names: an error names what was typed") {
  CHECK(WithOptionNames("certificate_file: x: cannot be read") ==
        "--tls-cert: x: cannot be read");
  CHECK(WithOptionNames("tls.certificate_file, tls.private_key_file: x, y: no "
                        "pair") == "--tls-cert, --tls-key: x, y: no pair");
  CHECK(WithOptionNames("source.tls.ca_file: x: is empty") ==
        "--from-tls-ca: x: is empty");
  CHECK(WithOptionNames("destination.tls.certificate_file, "
                        "tls.private_key_file: x, y: no pair") ==
        "--to-tls-cert, --to-tls-key: x, y: no pair");
  for (const char* const other :
       {"", "certificate_file", "certificate_file and more: x",
        "certificate_file, other: x", "other, ca_file: x", "x: ca_file: y",
        "source.retry: x", "source.: x"}) {
    CAPTURE(other);
    CHECK(WithOptionNames(other) == other);
  }
}

}  // namespace
}  // namespace messenger::app::option_names_test
