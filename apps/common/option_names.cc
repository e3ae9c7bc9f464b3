#include "apps/common/option_names.h"

#include <algorithm>
#include <array>
#include <utility>

namespace messenger::app {
namespace {

using Names = std::pair<std::string_view, std::string_view>;

constexpr std::array<Names, 8> kNames = {{{"certificate_file", "tls-cert"},
                                          {"private_key_file", "tls-key"},
                                          {"client_ca_file", "tls-client-ca"},
                                          {"ca_file", "tls-ca"},
                                          {"server_name", "tls-server-name"},
                                          {"tokens_file", "tokens"},
                                          {"rights_file", "rights"},
                                          {"token_file", "token-file"}}};

// Of which of a forwarder's two servers it is; the last one: of the only one.
constexpr std::array<Names, 3> kSides = {
    {{"source.", "--from-"}, {"destination.", "--to-"}, {"", "--"}}};

}  // namespace

std::string WithOptionNames(std::string_view text) {
  const auto* const side = std::ranges::find_if(
      kSides, [&](const Names& s) { return text.starts_with(s.first); });
  std::string result;
  std::string_view rest = text.substr(side->first.size());
  // One or several: "NAME, NAME: what is wrong".
  for (;;) {
    std::string_view name = rest.substr(0, rest.find_first_of(",:"));
    const std::size_t size = name.size();
    constexpr std::string_view kOfClient = "tls.";
    if (name.starts_with(kOfClient)) name.remove_prefix(kOfClient.size());
    const auto* const found = std::ranges::find(kNames, name, &Names::first);
    if (found == kNames.end()) return std::string(text);
    result += side->second;
    result += found->second;
    rest.remove_prefix(size);
    if (rest.starts_with(": ")) return result + std::string(rest);
    if (!rest.starts_with(", ")) return std::string(text);
    result += ", ";
    rest.remove_prefix(2);
  }
}

}  // namespace messenger::app
