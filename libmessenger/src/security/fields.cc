#include "security/fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "base/status.h"
#include "base/utf8.h"

namespace messenger {
namespace {

constexpr std::string_view kBlanks = " \t";
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
constexpr std::size_t kMostShown = 64;

bool IsControl(char32_t c) {
  return c < 0x20 || (c >= 0x7F && c < 0xA0);
}

std::string_view TakeLine(std::string_view* text) {
  const std::size_t end = text->find('\n');
  std::string_view line = text->substr(0, end);
  text->remove_prefix(end == std::string_view::npos ? text->size() : end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

// A lone \r could hide a rule from whoever looks at it in a terminal.
absl::Status CheckCharacters(std::string_view line) {
  if (const std::size_t bad = FindInvalidUtf8(line);
      bad != std::string_view::npos) {
    return absl::InvalidArgumentError(
        fmt::format("byte {} is not UTF-8", bad + 1));
  }
  for (std::size_t from = 0; from < line.size(); ++from) {
    const std::size_t found = FindControl(line.substr(from));
    if (found == std::string_view::npos) break;
    from += found;
    if (line[from] != '\t') {
      return absl::InvalidArgumentError(fmt::format(
          "byte {} is a control character, and only tabs are allowed",
          from + 1));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Field> TakeQuoted(std::string_view* rest,
                                 std::string_view name) {
  const std::size_t end = rest->find('"', 1);
  if (end == std::string_view::npos) {
    return absl::InvalidArgumentError(
        fmt::format("{}: there is no closing quote", name));
  }
  const Field field = {.text = rest->substr(1, end - 1), .is_quoted = true};
  rest->remove_prefix(end + 1);
  if (!rest->empty() && kBlanks.find(rest->front()) == std::string_view::npos) {
    return absl::InvalidArgumentError(
        fmt::format("{}: a blank must follow the closing quote", name));
  }
  return field;
}

Field TakePlain(std::string_view* rest) {
  const std::size_t end = std::min(rest->find_first_of(kBlanks), rest->size());
  const Field field = {.text = rest->substr(0, end)};
  rest->remove_prefix(end);
  return field;
}

// Appends the fields of a line; none if it is blank or a comment.
absl::Status Split(std::string_view line,
                   std::span<const std::string_view> names,
                   std::vector<Field>* fields) {
  const auto form = [names] {
    return fmt::format("{}", fmt::join(names, " "));
  };
  while (true) {
    line.remove_prefix(std::min(line.find_first_not_of(kBlanks), line.size()));
    if (line.empty() || line.front() == '#') break;
    if (fields->size() == names.size()) {
      return absl::InvalidArgumentError(
          fmt::format("{} is one field too many; a line is: {}",
                      ShowValue(TakePlain(&line).text), form()));
    }
    if (line.front() != '"') {
      fields->push_back(TakePlain(&line));
      continue;
    }
    const absl::StatusOr<Field> field =
        TakeQuoted(&line, names[fields->size()]);
    if (!field.ok()) return field.status();
    fields->push_back(*field);
  }
  if (!fields->empty() && fields->size() < names.size()) {
    return absl::InvalidArgumentError(fmt::format(
        "{}: is missing; a line is: {}", names[fields->size()], form()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ForEachFieldLine(
    std::string_view text, std::span<const std::string_view> names,
    absl::FunctionRef<absl::Status(const FieldLine&)> visit) {
  if (text.size() > kMaxSecurityFileSize) {
    return absl::InvalidArgumentError(fmt::format(
        "has more than the {} bytes that are allowed", kMaxSecurityFileSize));
  }
  if (text.starts_with(kByteOrderMark)) {
    text.remove_prefix(kByteOrderMark.size());
  }
  std::vector<Field> fields;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::string_view line = TakeLine(&text);
    fields.clear();
    absl::Status s = CheckCharacters(line);
    if (s.ok()) s = Split(line, names, &fields);
    if (s.ok() && !fields.empty()) {
      s = visit({.number = number, .text = line, .fields = fields});
    }
    if (!s.ok()) return WithPath(s, fmt::format("line {}", number));
  }
  return absl::OkStatus();
}

void AppendField(std::string_view field, std::string* out) {
  const bool quotes = field.empty() || field.starts_with('#') ||
                      field.find_first_of(kBlanks) != std::string_view::npos;
  if (quotes) out->push_back('"');
  out->append(field);
  if (quotes) out->push_back('"');
}

std::string ShowValue(std::string_view value) {
  if (value.find("messenger_") != std::string_view::npos) {
    return "(a value that is not shown, since a token may be in it)";
  }
  if (value.size() <= kMostShown) return fmt::format("{:?}", value);
  std::size_t end = kMostShown;
  // Not within a character.
  while (end > 0 && (static_cast<unsigned char>(value[end]) & 0xC0U) == 0x80U) {
    --end;
  }
  return fmt::format("{:?}…", value.substr(0, end));
}

std::size_t FindControl(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x80) {
      if (IsControl(byte)) return i;
      ++i;
      continue;
    }
    const Utf8Character character = DecodeUtf8(text.substr(i));
    if (character.length > 0 && IsControl(character.code)) return i;
    i += std::max<std::size_t>(character.length, 1);
  }
  return std::string_view::npos;
}

}  // namespace messenger
