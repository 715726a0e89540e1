// Cuts a file system off from its disk, at once, as a power cut does: `cut FOLDER lost|flushed`. What the
// journal has and the disk has not is lost, or written before.

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>

// linux/ext4.h and linux/fs.h have them only in newer versions.
#define EXT4_IOC_SHUTDOWN _IOR('X', 125, uint32_t)
#define JOURNAL_FLUSHED 1
#define JOURNAL_LOST 2

int main(int count, char **words) {
    if (count != 3) return 2;
    int folder = open(words[1], O_RDONLY);
    if (folder < 0) return 3;
    uint32_t how = strcmp(words[2], "lost") ? JOURNAL_FLUSHED : JOURNAL_LOST;
    return ioctl(folder, EXT4_IOC_SHUTDOWN, &how) ? 4 : 0;
}
