// When an operator is told that a certificate is about to expire.
#pragma once

#include <optional>
#include <string>

#include "messenger/message.h"
#include "security/pem.h"

namespace messenger {

// Of one certificate, which may be replaced.
//
// Thread safety: none.
class ExpiryNotice {
 public:
  // It was read, or read again: what is to be told of it is due at once.
  void Set(const Validity& validity);

  // What is to be told now: that it is not valid yet, expires within two weeks,
  // or has expired; at once, and then once a day. Else nothing.
  std::optional<std::string> Due(Timestamp now);

 private:
  Validity validity_ = {.from = Timestamp::min(), .until = Timestamp::max()};
  std::string told_;
  Timestamp told_at_;
};

}  // namespace messenger
