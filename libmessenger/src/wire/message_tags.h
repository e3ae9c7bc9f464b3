// The tags of messenger.v1.Message, whose fields 3 to 5 are also NewMessage,
// and of Attribute.
#pragma once

#include <cstdint>

#include "wire/coding.h"

namespace messenger::wire {

namespace message_tag {

inline constexpr std::uint32_t kSequence = MakeTag(1, WireType::kFixed64);
inline constexpr std::uint32_t kSendTime = MakeTag(2, WireType::kBytes);
inline constexpr std::uint32_t kAuthor = MakeTag(3, WireType::kBytes);
inline constexpr std::uint32_t kText = MakeTag(4, WireType::kBytes);
inline constexpr std::uint32_t kAttributes = MakeTag(5, WireType::kBytes);
inline constexpr std::uint32_t kProducerId = MakeTag(6, WireType::kBytes);
inline constexpr std::uint32_t kProducerSequence =
    MakeTag(7, WireType::kVarint);
inline constexpr std::uint32_t kChecksum = MakeTag(15, WireType::kFixed64);

}  // namespace message_tag

namespace attribute_tag {

inline constexpr std::uint32_t kName = MakeTag(1, WireType::kBytes);
inline constexpr std::uint32_t kValue = MakeTag(2, WireType::kBytes);

}  // namespace attribute_tag

}  // namespace messenger::wire
