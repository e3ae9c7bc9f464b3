#include "security/expiry_notice.h"

#include <fmt/format.h>

#include <chrono>

namespace messenger {
namespace {

constexpr std::chrono::days kSoon{14};
constexpr std::chrono::days kAgain{1};

// What is to be said of it; empty: nothing.
std::string Warning(const Validity& validity, Timestamp now) {
  if (now < validity.from) {
    return fmt::format("is not valid before {}", TextOf(validity.from));
  }
  if (validity.until <= now) {
    return fmt::format("has expired on {}", TextOf(validity.until));
  }
  if (validity.until - now > kSoon) return {};
  return fmt::format("expires on {}", TextOf(validity.until));
}

}  // namespace

void ExpiryNotice::Set(const Validity& validity) {
  validity_ = validity;
  told_.clear();
}

std::optional<std::string> ExpiryNotice::Due(Timestamp now) {
  std::string warning = Warning(validity_, now);
  // A clock that was set back counts as a day.
  const bool is_told =
      warning == told_ && now >= told_at_ && now - told_at_ < kAgain;
  if (warning.empty() || is_told) return std::nullopt;
  told_ = warning;
  told_at_ = now;
  return warning;
}

}  // namespace messenger
