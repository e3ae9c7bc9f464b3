// Copies a channel to another server, and goes on where it was when it is
// started again, however it has ended.
//   example_forwarder SOURCE DESTINATION CHANNEL
#include <messenger/forwarder.h>

#include <iostream>
#include <string_view>

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: example_forwarder SOURCE DESTINATION CHANNEL\n";
    return 2;
  }
  const auto on_notice = [](std::string_view notice) {
    std::cerr << notice << '\n';
  };
  const auto forwarder = messenger::Forwarder::Start(
      {.source = {.target = argv[1], .on_notice = on_notice},
       .destination = {.target = argv[2], .on_notice = on_notice},
       .channels = {{.from = argv[3], .to = argv[3]}}});
  if (!forwarder.ok()) {
    std::cerr << forwarder.status() << '\n';
    return 2;
  }
  (*forwarder)->AwaitEnd();
  std::cerr << (*forwarder)->status() << '\n';
  return 1;
}
