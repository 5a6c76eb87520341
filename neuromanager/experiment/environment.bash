# What a run finds where it is executed. In bash alone, for a node has nothing else, and with one fork for
# each job and node: the names of a hundred packages take 4 ms, pip freeze 400. In a subshell, since env may have set
# options, and nothing here may end a run.
#
# shellcheck shell=bash

#: environment
neu_environment() {  # $1: the file; $2: the command line, or the eval of one, in bash's quoting
  if [ -e "$1" ]; then return 0; fi  # of another run of this job
  ( set -h +efuCx; IFS=' ' GLOBIGNORE=''; shopt -u failglob; shopt -s nullglob
    text='' words=()
    add() { text+="$1 ${2//$'\n'/ }"$'\n'; }
    neu_find() {  # as type -P, whose answer would take a fork
      found=''
      if [[ $1 = */* ]]; then [ -f "$1" ] && [ -x "$1" ] && found=$1
      else unset -f -- "$1"; enable -n -- "$1"; hash -- "$1" && found=${BASH_CMDS[$1]}; fi
    }
    add kernel "$(< /proc/sys/kernel/osrelease)"
    while read -r line; do
      if [[ $line = 'model name'* ]]; then add processor "${line#*: }"; break; fi
    done < /proc/cpuinfo
    if read -r line < /proc/driver/nvidia/version; then add driver "$line"; fi
    for name in /proc/driver/nvidia/gpus/*/information; do
      while read -r word line; do if [ "$word" = Model: ]; then add gpu "$line"; fi; done < "$name"
    done
    for name in CONDA_PREFIX VIRTUAL_ENV APPTAINER_CONTAINER SINGULARITY_CONTAINER PYTHONPATH LD_LIBRARY_PATH; do
      if [ -n "${!name-}" ]; then add variable "$name=${!name}"; fi
    done
    IFS=:; for name in ${LOADEDMODULES-}; do add module "$name"; done; IFS=' '
    case $2 in 'eval '*) eval "words=(${2#eval })"; set -- "$1" "${words[*]}" ;; esac
    eval "words=($2)"
    neu_find "${words[0]}"; program=$found
    if [ -n "$program" ]; then add program "$program"; fi
    python=$program
    if [[ ${program##*/} != python* ]]; then
      neu_find python || neu_find python3; python=$found
      if IFS= read -r -n 300 line < "$program" && [[ $line = '#!/'*/python* ]]; then
        line=${line#'#!'}; python=${line%% *}
      fi
    fi
    if [ -n "$python" ]; then
      add python "$python"
      prefix=${python%/*}; prefix=${prefix%/*}
      if [[ $python = */shims/* ]]; then  # of pyenv: which one it starts, its files say
        name=${PYENV_VERSION-} root=${python%/shims/*}
        [ -n "$name" ] || read -r name < .python-version || read -r name < "$root/version"
        prefix=$root/versions/$name
        add python-version "$name"
      elif [ -r "$prefix/pyvenv.cfg" ]; then
        while read -r word line; do
          if [[ $word = version* ]]; then add python-version "${line#= }"; fi
        done < "$prefix/pyvenv.cfg"
      fi
      for folder in "$prefix"/{lib/python3*/site-packages,lib/python3/dist-packages,local/lib/python3*/dist-packages} \
          "${HOME-}"/.local/lib/python3*/site-packages; do
        for name in "$folder"/{*.dist-info,*.egg-info,*.egg-link,__editable__*.pth}; do
          name=${name##*/}; add package "${name%.*}"
        done
      done
      for name in "$prefix"/conda-meta/*.json; do name=${name##*/}; add conda "${name%.json}"; done
    fi
    set -C; printf %s "$text" > "$1"
  ) 2> /dev/null || :
}
