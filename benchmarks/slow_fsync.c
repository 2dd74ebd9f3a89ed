/* Makes every flush to disk cost one millisecond, as on a common server, and nothing else:
 * preloaded into both sides of a comparison, it takes the disk of this machine out of it.
 *
 *     cc -shared -fPIC -O2 -o slow_fsync.so slow_fsync.c
 *     LD_PRELOAD=./slow_fsync.so program
 */
#include <time.h>

static int flush(void)
{
    const struct timespec one_millisecond = {0, 1000000};
    nanosleep(&one_millisecond, 0);
    return 0;
}

int fsync(int file)
{
    (void)file;
    return flush();
}

int fdatasync(int file)
{
    (void)file;
    return flush();
}
