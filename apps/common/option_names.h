// Options, by the names that the command line has for them.
#pragma once

#include <string>
#include <string_view>

namespace messenger::app {

// Replaces the library's names of options about security, with which a text may
// begin, by those of the command line: "tls.ca_file: ..." becomes
// "--tls-ca: ...", and "source.tls.ca_file: ..." of a forwarder
// "--from-tls-ca: ...".
std::string WithOptionNames(std::string_view text);

}  // namespace messenger::app
