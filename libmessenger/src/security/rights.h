// Who may do what: the rules of a rights file. docs/security.md has its format.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace messenger {

enum class Right : std::uint8_t {
  kSend,    // SendMessage, SendMessages, OpenProducer
  kRead,    // ReadMessages, GetChannel, and to be shown by ListChannels
  kAdmin,   // DeleteChannel, ListProducers, DeleteProducer
  kSendAs,  // kSend, with any author
};

inline constexpr std::array kAllRights = {Right::kSend, Right::kRead,
                                          Right::kAdmin, Right::kSendAs};

// "send", "read", "admin", "send-as".
std::string_view ToString(Right right);

// The identity of callers who have none, in rules and in what is said of them.
inline constexpr std::string_view kAnonymous = "anonymous";

// INVALID_ARGUMENT unless `identity` can be one: 1 to 256 bytes of UTF-8
// without control characters and quotes; neither "*" nor "anonymous".
absl::Status CheckIdentity(std::string_view identity);

// The rules of one file. A line is an identity (or `*`: everyone, callers
// without an identity included; or `anonymous`: these alone), rights with
// commas between them, and a channel, or the beginning of one with a `*` behind
// it. An identity with blanks stands in double quotes. `#`, where a field could
// begin, begins a comment. The order of the lines means nothing: what one of
// them allows is allowed.
//
// Immutable. Thread safety: const members may be called from any thread.
class Rights {
 public:
  struct Rule {
    std::size_t line = 0;  // from 1 on
    std::string text;      // as it stands in the file
    std::uint8_t rights = 0;
    std::string channel;  // without the `*`
    bool is_prefix = false;

    bool Allows(Right right, std::string_view name) const;
  };

  // `text` is the file's. INVALID_ARGUMENT names the line, the field and its
  // value.
  static absl::StatusOr<Rights> Parse(std::string_view text);

  // The first rule by which `identity`, empty for callers without one, has the
  // right in `channel`; null if there is none.
  //
  // Takes time with the number of rules for this identity and for everyone.
  const Rule* Find(std::string_view identity, Right right,
                   std::string_view channel) const;

  // Whether it has the right, or any right, in some channel.
  bool HasAny(std::string_view identity,
              std::optional<Right> right = std::nullopt) const;

  // How many rules there are.
  std::size_t size() const { return size_; }

 private:
  std::vector<Rule> everyone_;
  absl::flat_hash_map<std::string, std::vector<Rule>> by_identity_;
  std::size_t size_ = 0;
};

}  // namespace messenger
