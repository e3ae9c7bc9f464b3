#include "apps/gateway/page.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "apps/gateway/handlers.h"
#include "apps/gateway/http.h"
#include "apps/gateway/problem.h"

namespace messenger::app {
namespace {

constexpr std::string_view kIndex = "index.html";

// Scripts cannot make markup of text, either: there are no Trusted Types.
constexpr std::string_view kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'";

// If-None-Match is a list, or "*". A proxy that compresses makes tags weak.
bool IsKnown(const Headers& request, std::string_view etag) {
  const auto known = FindHeaders(request, "If-None-Match");
  return std::any_of(known.begin(), known.end(), [etag](std::string_view list) {
    return list == "*" || list.find(etag) != std::string_view::npos;
  });
}

// Null if there is no file of this name.
const PageFile* FindPageFile(std::string_view name) {
  const auto found =
      std::find_if(kPageFiles.begin(), kPageFiles.end(),
                   [name](const PageFile& file) { return file.name == name; });
  return found == kPageFiles.end() ? nullptr : &*found;
}

// The file, or 304 if whoever asks has it already. Its headers let nothing run
// or load that is not a file of the page, and nobody show it in a frame.
Response PageResponse(const PageFile& file, const Headers& request) {
  Response response{
      .content_type = std::string(file.content_type),
      .headers = {
          {.name = "ETag", .value = std::string(file.etag)},
          // Asked for again each time, so that an update is there at once.
          {.name = "Cache-Control", .value = "no-cache"},
          {.name = "Content-Security-Policy", .value = std::string(kPolicy)},
          {.name = "Cross-Origin-Opener-Policy", .value = "same-origin"},
          {.name = "Referrer-Policy", .value = "no-referrer"}}};
  if (IsKnown(request, file.etag)) {
    response.status = 304;
  } else {
    response.body = file.body;
  }
  return response;
}

}  // namespace

void GetPage(Gateway* /*gateway*/, const Request& request, Respond respond) {
  respond(PageResponse(*FindPageFile(kIndex), request.headers));
}

void GetPageFile(Gateway* /*gateway*/, const Request& request,
                 Respond respond) {
  const std::string& name = request.target.segments[1];
  const PageFile* const file = FindPageFile(name);
  if (file == nullptr) {
    respond(ToResponse({.status = 404,
                        .detail = "the page has no file of this name",
                        .field = "file",
                        .value = name}));
    return;
  }
  respond(PageResponse(*file, request.headers));
}

}  // namespace messenger::app
