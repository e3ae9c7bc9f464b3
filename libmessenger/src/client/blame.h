// Who holds others back.
#pragma once

#include <algorithm>
#include <cstdint>

namespace messenger {

// Of one of several who get on only together. It is looked now and then, at
// times with numbers, whether the others wait for it; each time that they do,
// it is blamed. Each look takes some blame off again, so that only who is
// waited for most of the time is found to be too slow, and not who is slow for
// once, or as slow as the others.
//
// Thread safety: none.
class Blame {
 public:
  // It is waited for at this look. True if that was so in so many looks, more
  // than it was not, that it is too much.
  bool Add(std::int64_t look) {
    constexpr int kMost = 4;
    const std::int64_t left = blame_ - (look - look_);
    look_ = look;
    blame_ = std::max<std::int64_t>(left, 0) + 2;
    return blame_ > kMost;
  }

 private:
  std::int64_t blame_ = 0;
  std::int64_t look_ = 0;
};

}  // namespace messenger
