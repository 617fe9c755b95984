"""Macros that Fedora has and Debian's rpm has not, for the spec file of this project.

They are stand-ins, written from their documentation; what the %pyproject ones do is in `rpm_pyproject`.
The generator of Python's dependencies is rpm's own, with the options that Fedora gives it.
"""

import shlex
import sys
from pathlib import Path

__all__ = ("SITE", "macros")

#: Where Fedora installs Python's modules.
SITE = f"/usr/lib/python3.{sys.version_info.minor}/site-packages"

_PROGRAM = Path(__file__).with_name("rpm_pyproject.py")

_MACROS = r"""
%_dbpath /var/lib/rpm
%_binary_payload w1.gzdio
%_source_payload w1.gzdio
%_buildshell /bin/bash
%__brp_compress /bin/bash %{_rpmconfigdir}/brp-compress %{_prefix}
%python3_pkgversion 3
%python3_version @VERSION@
%python3_sitelib @SITE@
%_docdir_fmt %%{NAME}
%_pkgdocdir %{_docdir}/%{name}
%_unitdir /usr/lib/systemd/system
%bash_completions_dir %{_datadir}/bash-completion/completions
%fish_completions_dir %{_datadir}/fish/vendor_completions.d
%zsh_completions_dir %{_datadir}/zsh/site-functions

%pythondist_names_ --normalized-names-format pep503
%pythondist_ @PYTHON@ %{_rpmconfigdir}/pythondistdeps.py --package-name %{name} %{pythondist_names_}
%__pythondist_provides %{pythondist_} --provides --majorver-provides
%__pythondist_requires %{pythondist_} --requires --require-extras-subpackages
%__pythondist_path ^/usr/lib/python3[.][[:digit:]]+/site-packages/[^/]+[.]dist-info$

%pyproject_state_ %{_builddir}/pyproject-state
%pyproject_files %{pyproject_state_}/files
%pyproject_ @PROGRAM@ --state %{pyproject_state_} --root "%{buildroot}" --site %{python3_sitelib}
%pyproject_buildrequires(x:) %{pyproject_} buildrequires %{-x}
%pyproject_wheel %{pyproject_} wheel
%pyproject_install %{pyproject_} install
%pyproject_save_files(l) %{pyproject_} save_files %{-l} %{*}
%pyproject_check_import %{pyproject_} check_import
%pytest PATH="%{buildroot}%{_bindir}:$PATH" PYTHONPATH="%{buildroot}%{python3_sitelib}" @PYTHON@ -m pytest
%pyproject_extras_subpkg(n:) %{lua:
local base = rpm.expand("%{-n*}")
for extra in rpm.expand("%{*}"):gmatch("%S+") do
  local lines = {
    rpm.expand("%package -n " .. base .. "+" .. extra),
    "Summary: Metapackage for " .. base .. ": " .. extra .. " extras",
    "Requires: " .. base .. rpm.expand(" = %{version}-%{release}"),
    rpm.expand("%description -n " .. base .. "+" .. extra),
    "It makes sure that the dependencies are installed.",
    rpm.expand("%files -n " .. base .. "+" .. extra),
    rpm.expand("%ghost %{python3_sitelib}/*.dist-info"),
  }
  print(table.concat(lines, string.char(10)) .. string.char(10))
end
}

%systemd_requires \
Requires(post): systemd \
Requires(preun): systemd \
Requires(postun): systemd
%systemd_post() if [ $1 -eq 1 ]; then systemctl --no-reload preset %{*} || :; fi
%systemd_preun() if [ $1 -eq 0 ]; then systemctl --no-reload disable --now %{*} || :; fi
%systemd_postun_with_restart() if [ $1 -ge 1 ]; then systemctl try-restart %{*} || :; fi
"""


def macros() -> str:
    """Return the text of a macro file, for the Python that runs this."""
    text = _MACROS.replace("@VERSION@", f"3.{sys.version_info.minor}").replace("@SITE@", SITE)
    program = shlex.join((sys.executable, "-B", str(_PROGRAM)))
    return text.replace("@PROGRAM@", program).replace("@PYTHON@", shlex.quote(sys.executable))
